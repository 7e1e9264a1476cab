//! `/metrics`, in OpenMetrics text. Names begin with `openclaw_`; nothing here grows with the number of webhooks.

use std::fmt;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Answer, Api, Failure, State};
use crate::inbound::Figures;
use crate::outbound::{DispatcherFigures, Histogram};
use crate::reconcile::condition::types;
use crate::store::Totals;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(api: State) -> Answer<Response> {
    let scrape = Scrape::take(&api).await?;
    let mut registry = Registry::with_prefix("openclaw");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    let failed = |_| {
        Failure::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "metrics",
            "they cannot be written",
        )
    };
    encode(&mut text, &registry).map_err(failed)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// What one scrape sees.
#[derive(Debug)]
struct Scrape {
    totals: Totals,
    oldest_due_seconds: f64,
    inbound: Figures,
    outbound: DispatcherFigures,
    generation: u64,
    applied: bool,
    applied_at_seconds: f64,
    held: bool,
    degraded: usize,
}

impl Scrape {
    async fn take(api: &Api) -> Answer<Self> {
        let view = api.reconciler.view();
        let totals = api.store.totals().await?;
        let now_ms = api.clock.now_ms();
        Ok(Self {
            oldest_due_seconds: totals
                .oldest_owed_ms
                .map_or(0.0, |ms| seconds(now_ms.saturating_sub(ms))),
            totals,
            inbound: api.routes.totals(),
            outbound: api.dispatcher.figures(),
            generation: view.generation.number,
            applied: view
                .conditions
                .get(types::APPLIED)
                .is_none_or(|condition| condition.status),
            applied_at_seconds: seconds(view.generation.at_ms),
            held: view.held.is_some(),
            degraded: view.degraded.len(),
        })
    }
}

#[allow(clippy::cast_precision_loss)] // milliseconds of this millennium are exact
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

impl Collector for Scrape {
    fn encode(&self, mut to: DescriptorEncoder) -> Result<(), fmt::Error> {
        let to = &mut to;
        gauge(to, "owed", "Deliveries owed by all senders", self.totals.owed)?;
        gauge(to, "dead_letters", "Deliveries that were given up", self.totals.dead)?;
        gauge(to, "store_bytes", "Bytes of the store on disk", self.totals.bytes)?;
        real(
            to,
            "oldest_owed_age_seconds",
            "Age of the oldest owed delivery",
            self.oldest_due_seconds,
        )?;
        gauge(to, "in_flight", "Attempts in flight", self.outbound.in_flight as u64)?;
        gauge(
            to,
            "parked_senders",
            "Senders that wait: breaker, Retry-After, no sockets",
            self.outbound.parked as u64,
        )?;
        counter(
            to,
            "requests_accepted",
            "Requests that stored at least one event",
            self.inbound.accepted,
        )?;
        counter(
            to,
            "events_accepted",
            "Events stored for inbound webhooks",
            self.inbound.events,
        )?;
        counter(
            to,
            "duplicates",
            "Events that repeated one within the dedupe window",
            self.inbound.duplicates,
        )?;
        let refused: Vec<_> = self
            .inbound
            .refused
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
            .collect();
        family(to, "requests_refused", "Requests refused", "reason", &refused)?;
        counter(to, "attempts", "Attempts made", self.outbound.attempts)?;
        counter(to, "deliveries", "Deliveries made", self.outbound.delivered)?;
        counter(to, "attempts_failed", "Attempts that failed", self.outbound.failed)?;
        histogram(
            to,
            "attempt_duration_seconds",
            "How long attempts took, from name lookup to the answer's end",
            &self.outbound.latency,
        )?;
        gauge(to, "config_generation", "The applied generation", self.generation)?;
        gauge(
            to,
            "config_last_apply_ok",
            "1 where the newest document is applied",
            u64::from(self.applied),
        )?;
        real(
            to,
            "config_last_apply_timestamp_seconds",
            "When the applied generation was made",
            self.applied_at_seconds,
        )?;
        gauge(to, "config_held", "1 while a document is held", u64::from(self.held))?;
        gauge(
            to,
            "degraded",
            "Webhooks that could not be prepared",
            self.degraded as u64,
        )
    }
}

fn gauge(to: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn real(to: &mut DescriptorEncoder, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = ConstGauge::new(value);
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counter(to: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

#[allow(clippy::cast_precision_loss)] // 2^53 microseconds are 285 years
fn histogram(to: &mut DescriptorEncoder, name: &str, help: &str, values: &Histogram) -> fmt::Result {
    let bounds = Histogram::bounds_ms().iter().map(|ms| *ms as f64 / 1000.0);
    let buckets: Vec<_> = bounds
        .chain([f64::INFINITY])
        .zip(values.counts().iter().copied())
        .collect();
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let count = values.counts().iter().sum();
    metric.encode_histogram::<NoLabelSet>(values.sum_us() as f64 / 1_000_000.0, count, &buckets, None)
}

fn family(to: &mut DescriptorEncoder, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = to.encode_descriptor(name, help, None, kind)?;
    for (value, count) in values {
        ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}
