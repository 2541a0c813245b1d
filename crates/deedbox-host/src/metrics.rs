//! What an operator watches: counts and times by route and code, in the text format of Prometheus. There is no store, capability,
//! meter or address in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the times that are counted, in milliseconds.
const BOUNDS: [u64; 8] = [1, 5, 10, 50, 100, 500, 1_000, 10_000];

/// Counts since the host began.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    held: Mutex<BTreeMap<(&'static str, &'static str), Route>>,
}

#[derive(Debug, Default)]
struct Route {
    codes: BTreeMap<&'static str, u64>,
    /// How many took up to each bound; the last is all.
    times: [u64; BOUNDS.len() + 1],
    sum: Duration,
    request_bytes: u64,
    reply_bytes: u64,
}

impl Metrics {
    /// Counts one answered request.
    pub(crate) fn count(
        &self,
        (method, route): (&'static str, &'static str),
        code: &'static str,
        took: Duration,
        (request_bytes, reply_bytes): (u64, u64),
    ) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.entry((route, method)).or_default();
        let count = held.codes.entry(code).or_default();
        *count = count.saturating_add(1);
        for (time, bound) in held.times.iter_mut().zip(BOUNDS.into_iter().map(Some).chain([None])) {
            if bound.is_none_or(|bound| took <= Duration::from_millis(bound)) {
                *time = time.saturating_add(1);
            }
        }
        held.sum = held.sum.saturating_add(took);
        held.request_bytes = held.request_bytes.saturating_add(request_bytes);
        held.reply_bytes = held.reply_bytes.saturating_add(reply_bytes);
    }

    /// The counts as text, and how many feeds are open at present.
    pub(crate) fn to_text(&self, feeds: usize) -> String {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: &mut dyn FnMut(&mut String)| {
            // writing to a string cannot fail
            let _ = writeln!(text, "# HELP deedbox_{name} {help}\n# TYPE deedbox_{name} {kind}");
            lines(&mut text);
        };
        let labels = |(route, method): &(&str, &str)| format!("method=\"{method}\",route=\"{route}\"");
        family("feeds_open", "gauge", "Change feeds that are open.", &mut |text| {
            let _ = writeln!(text, "deedbox_feeds_open {feeds}");
        });
        family("requests_total", "counter", "Requests answered, by code.", &mut |text| {
            for (key, route) in &*held {
                for (code, count) in &route.codes {
                    let _ = writeln!(text, "deedbox_requests_total{{{},code=\"{code}\"}} {count}", labels(key));
                }
            }
        });
        family("request_seconds", "histogram", "From a request's head to its answer's.", &mut |text| {
            for (key, route) in &*held {
                let labels = labels(key);
                let bounds = BOUNDS.iter().map(|bound| format!("{}", Millis(*bound))).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(route.times) {
                    let _ = writeln!(text, "deedbox_request_seconds_bucket{{{labels},le=\"{bound}\"}} {count}");
                }
                let _ = writeln!(text, "deedbox_request_seconds_sum{{{labels}}} {:.6}", route.sum.as_secs_f64());
                let count = route.times.last().copied().unwrap_or(0);
                let _ = writeln!(text, "deedbox_request_seconds_count{{{labels}}} {count}");
            }
        });
        for (name, help, bytes) in [
            (
                "request_bytes_total",
                "Bytes of requests' bodies.",
                (|route: &Route| route.request_bytes) as fn(&Route) -> u64,
            ),
            ("reply_bytes_total", "Bytes of answers' bodies.", |route: &Route| route.reply_bytes),
        ] {
            family(name, "counter", help, &mut |text| {
                for (key, route) in &*held {
                    let _ = writeln!(text, "deedbox_{name}{{{}}} {}", labels(key), bytes(route));
                }
            });
        }
        text
    }
}

/// Milliseconds, shown as seconds.
struct Millis(u64);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Duration::from_millis(self.0).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_as_text() {
        let metrics = Metrics::default();
        let route = ("GET", "/v1/stores/{s}/usage");
        metrics.count(route, "Done", Duration::from_millis(3), (0, 20));
        metrics.count(route, "Revoked", Duration::from_secs(20), (5, 0));
        let text = metrics.to_text(2);
        let labels = "method=\"GET\",route=\"/v1/stores/{s}/usage\"";
        for line in [
            "deedbox_feeds_open 2".to_owned(),
            format!("deedbox_requests_total{{{labels},code=\"Done\"}} 1"),
            format!("deedbox_requests_total{{{labels},code=\"Revoked\"}} 1"),
            format!("deedbox_request_seconds_bucket{{{labels},le=\"0.001\"}} 0"),
            format!("deedbox_request_seconds_bucket{{{labels},le=\"0.005\"}} 1"),
            format!("deedbox_request_seconds_bucket{{{labels},le=\"10\"}} 1"),
            format!("deedbox_request_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("deedbox_request_seconds_sum{{{labels}}} 20.003000"),
            format!("deedbox_request_seconds_count{{{labels}}} 2"),
            format!("deedbox_request_bytes_total{{{labels}}} 5"),
            format!("deedbox_reply_bytes_total{{{labels}}} 20"),
        ] {
            assert!(text.lines().any(|held| held == line), "{line} is not in\n{text}");
        }
    }
}
