//! What a process tells of itself in numbers. Each room declares its metrics in a table, so that they are described, have
//! fitting buckets, and are there at zero before the first time they are counted.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Bounds, in seconds, for what a process does with its database.
pub const STATEMENT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds, in seconds, for calls over the network.
pub const CALL_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
/// Bounds, in seconds, for what waits for its turn: until something late, and until something retried for a day.
pub const WAIT_SECONDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];
/// Bounds for how many are worked on together.
pub const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Samples wait in memory until they are put into their buckets, so often if nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Labels with the values that are exported from the start. Others may come later, always out of a few: never an account, an
/// instance, a phone number or a text.
pub type Labels = &'static [(&'static str, &'static [&'static str])];

/// A metric as it is declared.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    name: &'static str,
    labels: Labels,
    help: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    /// Absent until it is measured.
    Gauge,
    Histogram(&'static [f64]),
}

impl Metric {
    /// Something that only rises; its name ends in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, labels: Labels, help: &'static str) -> Self {
        Self { name, labels, help, kind: Kind::Counter }
    }

    /// Something that is measured; absent until it was.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, labels: &[], help, kind: Kind::Gauge }
    }

    /// Something that is spread over `bounds`, which are in the unit that the name ends in.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: Labels,
        bounds: &'static [f64],
        help: &'static str,
    ) -> Self {
        Self { name, labels, help, kind: Kind::Histogram(bounds) }
    }

    fn announce(&self) {
        let Self { name, labels, help, kind } = *self;
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram(_) => describe_histogram!(name, help),
        }
        for series in series(labels) {
            match kind {
                // An increase can only be seen of what was there before.
                Kind::Counter => counter!(name, series).increment(0),
                Kind::Histogram(_) => drop(histogram!(name, series)),
                Kind::Gauge => {}
            }
        }
    }
}

/// Every combination of the labels' values.
fn series(labels: Labels) -> Vec<Vec<Label>> {
    labels.iter().fold(vec![Vec::new()], |known, (name, values)| {
        let with = |value: &&'static str| Label::from_static_parts(name, value);
        known
            .iter()
            .flat_map(|series| values.iter().map(move |value| [series.as_slice(), &[with(value)]].concat()))
            .collect()
    })
}

/// Where the metrics of a process are read; cloning shares it.
#[derive(Clone)]
pub struct Exposition {
    handle: PrometheusHandle,
    refresh: Arc<dyn Fn() + Send + Sync>,
}

impl Exposition {
    /// Collects the metrics of these tables from now on; `None` where something in this process already does. `refresh` sets
    /// the gauges that are only known when they are asked for.
    ///
    /// # Panics
    /// If a histogram is declared without bounds.
    #[must_use]
    pub fn start(tables: &[&'static [Metric]], refresh: impl Fn() + Send + Sync + 'static) -> Option<Self> {
        let mut builder = PrometheusBuilder::new();
        for metric in tables.iter().copied().flatten() {
            if let Kind::Histogram(bounds) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, bounds).expect("histograms have bounds");
            }
        }
        // Fails only where another recorder is at work.
        let handle = builder.install_recorder().ok()?;
        tables.iter().copied().flatten().for_each(Metric::announce);
        Some(Self { handle, refresh: Arc::new(refresh) })
    }

    /// Everything, in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        (self.refresh)();
        self.handle.render()
    }

    /// Keeps samples from gathering in memory while nobody asks, until `stop`.
    pub async fn keep_up(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(UPKEEP) => self.handle.run_upkeep(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn every_combination_of_values_is_a_series() {
        let series = series(&[("lane", &["priority", "standard"]), ("outcome", &["sent", "failed"])]);
        let told: Vec<String> = series
            .iter()
            .map(|labels| labels.iter().map(metrics::Label::value).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(told, ["priority sent", "priority failed", "standard sent", "standard failed"]);
    }
}
