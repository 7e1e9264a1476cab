//! `openclaw webhooks test`

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use super::find;
use crate::admin::wire::{Direction, RouteTest, RouteTestRequest, SenderTest};
use crate::cli::source::Source;
use crate::cli::{Context, Done, Error, time};
use crate::plan::render::text::visible;

/// How long a test may take: every step of a route's, or the longest time-out of a sender.
const PATIENCE: Duration = Duration::from_mins(10);

/// Test a webhook
///
/// A sender: one signed `webhook.test` event, sent once, through the same egress check, TLS and signing as real attempts.
/// A route (--inbound): a request that is signed as its platform signs, to its full URL, and whether it came in. The gateway
/// sends both, so that no secret leaves it. Test traffic is marked and not counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks test event-logger
  openclaw webhooks test telegram --inbound
  openclaw webhooks test telegram --inbound --local

Exit codes: 0 it works, 1 it does not, or an error.")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Test the inbound webhook of that name
    #[arg(long)]
    inbound: bool,
    /// To the gateway's own listener instead of the full URL
    #[arg(long, requires = "inbound")]
    local: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let (source, client) = Source::of_gateway(context)?;
    let direction = if arguments.inbound {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let row = find(&source, &arguments.name, Some(direction)).await?.webhook;
    let path = format!("/v1/webhooks/{}/{}/test", direction.as_str(), row.name);
    let (passed, text, json) = if arguments.inbound {
        let request = RouteTestRequest { local: arguments.local };
        let test: RouteTest = client.post(&path, &request, PATIENCE).await?;
        (test.passed(), route(&row.name, &test), serde_json::to_value(&test))
    } else {
        let test: SenderTest = client.post(&path, &serde_json::json!({}), PATIENCE).await?;
        let url = row.url.as_deref().unwrap_or("-");
        (
            test.delivered,
            sender(&row.name, url, &test),
            serde_json::to_value(&test),
        )
    };
    if context.terminal.json {
        context
            .terminal
            .answer_json(&json.map_err(|error| Error::new(error.to_string()))?)?;
    } else {
        context.terminal.answer(text)?;
    }
    Ok(if passed { Done::Well } else { Done::No })
}

fn sender(name: &str, url: &str, test: &SenderTest) -> String {
    let mut out = format!("Test of {name}: {}\n", visible(url));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name}: {}", visible(value));
    };
    line(
        "Status",
        &test
            .status
            .map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
    );
    line("Latency", &time::precise(test.latency_ms));
    if let Some(error) = &test.error {
        let detail = test
            .detail
            .as_ref()
            .map_or(String::new(), |detail| format!(": {detail}"));
        line("Error", &format!("{error}{detail}"));
    }
    line("Result", if test.delivered { "delivered" } else { "failed" });
    out
}

fn route(name: &str, test: &RouteTest) -> String {
    let mut out = format!("Test of {name}: {}\n", visible(&test.url));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name}: {}", visible(value));
    };
    for step in &test.steps {
        let name = match step.name.as_str() {
            "dns" => "DNS",
            "connect" => "Connect",
            "tls" => "TLS",
            _ => "Status",
        };
        if step.name == "key" {
            line("Key", &step.detail);
            continue;
        }
        let failed = if step.ok { "" } else { "failed: " };
        line(
            name,
            &format!("{failed}{} ({})", step.detail, time::precise(step.latency_ms)),
        );
    }
    match (&test.event, test.seen) {
        (Some(event), _) => line("Event", &format!("seen ({event})")),
        (None, true) => line("Request", "seen"),
        (None, false) => line("Request", "not seen by this gateway"),
    }
    for note in &test.notes {
        line("Note", note);
    }
    line("Result", if test.passed() { "works" } else { "does not work" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::TestStep;

    fn step(name: &str, ok: bool, detail: &str) -> TestStep {
        TestStep {
            name: name.to_owned(),
            ok,
            detail: detail.to_owned(),
            latency_ms: 2.5,
        }
    }

    #[test]
    fn a_route_tells_each_step_on_the_way() {
        let mut test = RouteTest {
            url: "https://gateway.example.com/webhook/telegram".to_owned(),
            signed: true,
            steps: vec![
                step("dns", true, "203.0.113.5"),
                step("connect", true, "203.0.113.5:443"),
                step("tls", true, "TLSv1_3"),
                step("request", true, "200 OK"),
            ],
            status: Some(200),
            seen: true,
            event: Some("evt_01".to_owned()),
            notes: Vec::new(),
        };
        insta::assert_snapshot!(route("telegram", &test), @r"
        Test of telegram: https://gateway.example.com/webhook/telegram
          DNS: 203.0.113.5 (2.5 ms)
          Connect: 203.0.113.5:443 (2.5 ms)
          TLS: TLSv1_3 (2.5 ms)
          Status: 200 OK (2.5 ms)
          Event: seen (evt_01)
          Result: works
        ");
        test.steps[2] = step("tls", false, "invalid peer certificate: Expired");
        test.steps.pop();
        (test.status, test.seen, test.event) = (None, false, None);
        insta::assert_snapshot!(route("telegram", &test), @r"
        Test of telegram: https://gateway.example.com/webhook/telegram
          DNS: 203.0.113.5 (2.5 ms)
          Connect: 203.0.113.5:443 (2.5 ms)
          TLS: failed: invalid peer certificate: Expired (2.5 ms)
          Request: not seen by this gateway
          Result: does not work
        ");
        assert!(!test.passed());
    }

    #[test]
    fn an_unsigned_test_passes_where_it_is_refused_here() {
        let mut test = RouteTest {
            url: String::new(),
            signed: false,
            steps: Vec::new(),
            status: Some(401),
            seen: true,
            event: None,
            notes: Vec::new(),
        };
        assert!(test.passed());
        test.seen = false;
        assert!(!test.passed(), "somebody else refused it");
        (test.seen, test.status) = (true, Some(200));
        assert!(!test.passed(), "it lets anybody in");
    }

    #[test]
    fn a_sender_tells_what_came_back() {
        let test = SenderTest {
            delivered: false,
            status: None,
            error: Some("connect".to_owned()),
            detail: Some("connection refused".to_owned()),
            response: None,
            latency_ms: 0.4,
        };
        insta::assert_snapshot!(sender("event-logger", "https://log.example.com/events", &test), @r"
        Test of event-logger: https://log.example.com/events
          Status: no answer
          Latency: 0.4 ms
          Error: connect: connection refused
          Result: failed
        ");
    }
}
