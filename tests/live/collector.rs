//! An OpenTelemetry collector as small as can be: takes OTLP over HTTP and keeps what it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

#[derive(Clone, Default)]
pub struct Received {
    pub spans: Vec<Span>,
    /// Name, and of a histogram or sum the greatest count or value that was sent.
    pub metrics: BTreeMap<String, f64>,
    pub logs: Vec<Log>,
    pub services: BTreeSet<String>,
    pub instances: BTreeSet<String>,
}

#[derive(Clone)]
pub struct Log {
    pub text: String,
    pub trace_id: Vec<u8>,
}

pub struct Collector {
    pub endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// Listens until the test's process ends.
    pub fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let endpoint = format!("http://{}", listener.local_addr().expect("it has an address"));
        let received = Arc::new(Mutex::new(Received::default()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while answer(&connection, &kept).is_some() {});
            }
        });
        Collector { endpoint, received }
    }

    pub fn received(&self) -> Received {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request of a connection; `None` when there is none any more.
fn answer(connection: &TcpStream, kept: &Mutex<Received>) -> Option<()> {
    let mut input = BufReader::new(connection);
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a length is a number");
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    let mut output = connection;
    let status = match keep(&path, &body, kept) {
        Ok(()) => "200 OK",
        Err(error) => {
            eprintln!("{path}: {error}");
            "400 Bad Request"
        }
    };
    write!(output, "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").ok()
}

fn keep(path: &str, body: &[u8], kept: &Mutex<Received>) -> Result<(), Box<dyn std::error::Error>> {
    let mut resources = Vec::new();
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    match path {
        "/v1/traces" => {
            for of in ExportTraceServiceRequest::decode(body)?.resource_spans {
                resources.extend(of.resource);
                kept.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        "/v1/metrics" => {
            for of in ExportMetricsServiceRequest::decode(body)?.resource_metrics {
                resources.extend(of.resource);
                for metric in of.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                    let value = metric.data.map_or(0.0, greatest);
                    let known = kept.metrics.entry(metric.name).or_default();
                    *known = known.max(value);
                }
            }
        }
        "/v1/logs" => {
            for of in ExportLogsServiceRequest::decode(body)?.resource_logs {
                resources.extend(of.resource);
                let records = of.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                kept.logs.extend(records.map(|log| Log { text: shown(log.body.as_ref()), trace_id: log.trace_id }));
            }
        }
        _ => return Err("no such signal".into()),
    }
    for Resource { attributes, .. } in resources {
        kept.services.insert(attribute(&attributes, "service.name"));
        kept.instances.insert(attribute(&attributes, "service.instance.id"));
    }
    Ok(())
}

fn greatest(data: Data) -> f64 {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    let number = |value: Option<Value>| match value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => value as f64,
        None => 0.0,
    };
    let values: Vec<f64> = match data {
        Data::Gauge(gauge) => gauge.data_points.into_iter().map(|point| number(point.value)).collect(),
        Data::Sum(sum) => sum.data_points.into_iter().map(|point| number(point.value)).collect(),
        Data::Histogram(histogram) => histogram.data_points.into_iter().map(|point| point.count as f64).collect(),
        _ => Vec::new(),
    };
    values.into_iter().fold(0.0, f64::max)
}

/// A value as text; of a list, its members with spaces between.
pub fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::ArrayValue(list)) => {
            list.values.iter().map(|value| shown(Some(value))).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// The attribute's value as text; empty when there is none.
pub fn attribute(attributes: &[KeyValue], name: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == name).map_or(String::new(), |found| shown(found.value.as_ref()))
}
