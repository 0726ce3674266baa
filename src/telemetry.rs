//! What the program says of itself: the log on standard error, Prometheus text, and traces, metrics and logs by OTLP. The
//! only OpenTelemetry SDK.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{KeyValue, global};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// For a collector that hangs when the process ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of libraries that would tell of each request, ours to the exporter among them.
const QUIET: &str = "clickhouse=warn,hyper=warn,reqwest=warn,opentelemetry=warn,h2=warn";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP over HTTP, such as `http://127.0.0.1:4318`; nothing is sent when empty.
    pub otlp_endpoint: String,
    /// How often metrics are sent, in seconds.
    pub interval_seconds: u32,
    /// The share of steps whose trace is sent.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> TelemetryConfig {
        TelemetryConfig { otlp_endpoint: String::new(), interval_seconds: 15, sample_ratio: 1.0 }
    }
}

impl TelemetryConfig {
    /// # Errors
    /// A value out of range, by name.
    pub fn check(&self) -> anyhow::Result<()> {
        let ratio = self.sample_ratio;
        anyhow::ensure!((0.0..=1.0).contains(&ratio), "`telemetry.sample_ratio` is `{ratio}`, expected 0 to 1");
        Ok(())
    }
}

/// A share of the traces, and whatever is linked to one of them: the way of a finding is there as a whole.
#[derive(Clone, Debug)]
struct WithLinked(Sampler);

impl ShouldSample for WithLinked {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut sampled = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if links.iter().any(|link| link.span_context.is_sampled()) {
            sampled.decision = SamplingDecision::RecordAndSample;
        }
        sampled
    }
}

/// A log on standard error, as every command has.
pub fn log_only(default_level: &str) {
    tracing_subscriber::registry().with(to_standard_error(default_level)).init();
}

fn to_standard_error<S>(default_level: &str) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let filter =
        EnvFilter::try_from_env("VEDETTE_LOG").unwrap_or_else(|_| EnvFilter::new(format!("{default_level},{QUIET}")));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_filter(filter)
}

/// Running providers; what they hold is sent when it is dropped.
pub struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    loggers: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// # Errors
    /// An endpoint that is no URL.
    pub fn start(config: &TelemetryConfig) -> anyhow::Result<Telemetry> {
        let resource = Resource::builder()
            .with_service_name("vedette")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance()))
            .build();
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(prometheus);
        let (mut tracers, mut loggers) = (None, None);
        if !config.otlp_endpoint.is_empty() {
            let endpoint = |signal: &str| format!("{}/v1/{signal}", config.otlp_endpoint.trim_end_matches('/'));
            let wrong = || format!("`{}` is no OTLP endpoint; correct [telemetry] otlp_endpoint", config.otlp_endpoint);
            let metrics =
                MetricExporter::builder().with_http().with_endpoint(endpoint("metrics")).build().with_context(wrong)?;
            let interval = Duration::from_secs(u64::from(config.interval_seconds.max(1)));
            meters = meters.with_reader(PeriodicReader::builder(metrics).with_interval(interval).build());
            let spans =
                SpanExporter::builder().with_http().with_endpoint(endpoint("traces")).build().with_context(wrong)?;
            let ratio = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
            let provider = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_sampler(WithLinked(ratio))
                .with_batch_exporter(spans)
                .build();
            global::set_tracer_provider(provider.clone());
            tracers = Some(provider);
            let logs =
                LogExporter::builder().with_http().with_endpoint(endpoint("logs")).build().with_context(wrong)?;
            loggers = Some(SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(logs).build());
        }
        let meters = meters.build();
        global::set_meter_provider(meters.clone());
        let filter = EnvFilter::new(format!("info,{QUIET}"));
        let logs = loggers.as_ref().map(|provider| OpenTelemetryTracingBridge::new(provider).with_filter(filter));
        tracing_subscriber::registry().with(to_standard_error("info")).with(logs).init();
        Ok(Telemetry { registry, meters, tracers, loggers })
    }

    /// For whoever answers `/metrics`.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }
}

/// Several processes of one service are told apart by it.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", if host.is_empty() { "host" } else { host.trim() }, std::process::id())
}

/// Prometheus' text format.
pub fn prometheus_text(registry: &Registry) -> anyhow::Result<String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(String::from_utf8(text)?)
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // At the end nobody can be told of a collector that is away.
        let _ = self.meters.shutdown();
        let _ = self.tracers.take().map(|tracers| tracers.shutdown_with_timeout(PATIENCE));
        let _ = self.loggers.take().map(|loggers| loggers.shutdown_with_timeout(PATIENCE));
    }
}
