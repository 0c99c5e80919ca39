//! What a process's `/metrics` says, in Prometheus's text format.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::eventually;
use super::process::Process;

/// One line of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With `_bucket`, `_sum` or `_count`, where it is a histogram's.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// A metric with all that is said of it.
#[derive(Clone, Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// Every metric of a process, by name.
#[derive(Clone, Debug, Default)]
pub struct Exposition(pub BTreeMap<String, Family>);

static SAMPLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.eE+-]+|NaN|\+Inf)$").expect("a pattern"));
static LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"(\w+)="([^"]*)""#).expect("a pattern"));

impl Exposition {
    /// Asks a process.
    pub async fn of(process: &Process) -> Self {
        let (status, text) = process.ask("/metrics").await.expect("it serves metrics");
        assert_eq!(status, 200, "{text}");
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
                name.clone_into(&mut current);
            } else {
                families.entry(current.clone()).or_default().samples.push(sample(line));
            }
        }
        Self(families)
    }

    /// The sum of the samples of that name with these labels; `None` where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        let found: Vec<f64> =
            self.0.values().flat_map(|family| &family.samples).filter(fits).map(|s| s.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

fn sample(line: &str) -> Sample {
    let parts = SAMPLE.captures(line).unwrap_or_else(|| panic!("a sample, not {line}"));
    let labels = parts.get(2).map_or("", |labels| labels.as_str());
    Sample {
        name: parts[1].to_owned(),
        labels: LABEL.captures_iter(labels).map(|label| (label[1].to_owned(), label[2].to_owned())).collect(),
        value: parts[3].parse().expect("a number"),
    }
}

/// Waits until a process says that this sum is at least so much; gives it.
pub async fn at_least(process: &Process, name: &str, labels: &[(&str, &str)], least: f64) -> f64 {
    eventually(&format!("{:?} says {name} {labels:?} ≥ {least}", process.binary), async || {
        Exposition::of(process).await.sum(name, labels).filter(|sum| *sum >= least)
    })
    .await
}
