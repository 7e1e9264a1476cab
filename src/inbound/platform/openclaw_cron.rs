//! The assistant's own automation: `cron.webhookToken` of OpenClaw, sent as a bearer token.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::quoted;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

struct OpenClawCron {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(OpenClawCron {
        secrets: super::secrets(settings)?,
    }))
}

impl Platform for OpenClawCron {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        super::fixed_token(&self.secrets, super::credentials(request, "Bearer")?, "authorization")
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let action = body.text("action").ok().flatten();
        let key = match (body.text("jobId"), body.integer("runAtMs"), action) {
            (Ok(Some(job)), Ok(Some(run)), Some(action)) => format!("{job}:{run}:{action}"),
            _ => request.hash().to_owned(),
        };
        let kind = action.map_or_else(|| "unknown".to_owned(), |action| format!("automation.{action}"));
        Ok(Reading::one(source.webhook(&kind, Some(key), &body), Answer::empty()))
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        let secret = self.secrets.first();
        Proof::token(
            "authorization",
            secret.map(|secret| format!("Bearer {}", secret.expose())),
        )
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            r#"{{"jobId":{id},"runAtMs":{now},"action":"test","summary":{text}}}"#,
            id = quoted(sample.id),
            now = sample.now.as_millisecond(),
            text = quoted(sample.text)
        );
        Some(Sample::proved(self, sample.now, body, []))
    }
}
