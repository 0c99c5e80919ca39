//! The files for operators, as far as the tests need to understand them: the README's lists, the dashboard, the alert rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::support::exposition::Exposition;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

static LISTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\| `(gatepost_[a-z_]+)(?:\{([a-z_,]+)\})?` \| ([a-z, ]+) \| .+ \|$"));
static RUNBOOK: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\| `(Gatepost[A-Za-z]+)` \| (critical|warning) \| .{20,} \|$"));
static ASKED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(gatepost_[a-z_]+)(?:\{([^}]*)\})?"));
static MATCHER: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(\w+)(=~|=)"([^"]*)""#));
static GROUPED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bby \(([a-z_, ]+)\)"));

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The README.
pub fn readme() -> String {
    file("README.md")
}

/// A metric of the README's list.
pub struct Listed {
    pub name: String,
    pub labels: Vec<String>,
    processes: Vec<String>,
}

impl Listed {
    /// Whether it is listed as that process's.
    pub fn is_of(&self, process: &str) -> bool {
        self.processes.iter().any(|listed| listed == "all" || listed == process)
    }
}

/// The README's list of metrics.
pub fn listed(readme: &str) -> Vec<Listed> {
    let words = |text: &str| text.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>();
    let metric = |row: regex::Captures| Listed {
        name: row[1].to_owned(),
        labels: row.get(2).map(|labels| words(labels.as_str())).unwrap_or_default(),
        processes: words(&row[3]),
    };
    let listed: Vec<Listed> = LISTED.captures_iter(readme).map(metric).collect();
    assert!(listed.len() > 40, "the list was read");
    listed
}

/// The README's alerts and their severities; each has some words on what to do.
pub fn runbook(readme: &str) -> BTreeMap<String, String> {
    RUNBOOK.captures_iter(readme).map(|row| (row[1].to_owned(), row[2].to_owned())).collect()
}

/// A panel of the dashboard.
pub struct Panel {
    pub title: String,
    pub description: String,
    pub unit: String,
    pub source: String,
    pub queries: Vec<String>,
}

/// The dashboard's panels, without its rows.
pub fn panels() -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(&file(".monitoring/dashboard.json")).expect("valid JSON");
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource", "it can be chosen");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels
        .filter(|panel| panel["type"] != "row")
        .map(|panel| Panel {
            title: text(&panel["title"]),
            description: text(&panel["description"]),
            unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
            source: text(&panel["datasource"]["uid"]),
            queries: panel["targets"]
                .as_array()
                .expect("targets")
                .iter()
                .map(|target| text(&target["expr"]))
                .collect(),
        })
        .collect()
}

/// An alert rule.
#[derive(Default)]
pub struct Alert {
    pub name: String,
    pub expression: String,
    pub waits: Duration,
    pub severity: String,
    pub summary: String,
    pub runbook: String,
}

/// The alert rules. Of YAML, only what that file is written in is understood: a key and its value on a line, or an expression
/// folded over several.
pub fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for line in file(".monitoring/alerts.yml").lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.to_owned(), ..Alert::default() });
        }
        let Some(alert) = alerts.last_mut() else { continue };
        match line.split_once(": ") {
            Some(("expr", value)) => value.trim_start_matches(">-").clone_into(&mut alert.expression),
            Some(("for", value)) => {
                let minutes = value.strip_suffix('m').and_then(|minutes| minutes.parse().ok());
                alert.waits = Duration::from_secs(60 * minutes.unwrap_or(0));
            }
            Some(("severity", value)) => value.clone_into(&mut alert.severity),
            Some(("summary", value)) => value.trim_matches('"').clone_into(&mut alert.summary),
            Some(("runbook", value)) => value.trim_matches('"').clone_into(&mut alert.runbook),
            // What follows an expression is its rest, until its next key.
            _ if alert.waits.is_zero() => alert.expression += &format!(" {line}"),
            _ => {}
        }
    }
    assert!(alerts.len() > 20, "the rules were read");
    alerts
}

/// A metric that a query asks for.
pub struct Asked {
    pub name: String,
    /// What its labels must be able to be.
    pub matchers: Vec<(String, String)>,
    /// By which labels the query groups.
    pub grouped: Vec<String>,
}

impl Asked {
    /// The metric's own name, without what a histogram's samples have.
    pub fn family<'a>(&'a self, told: &BTreeMap<&str, Exposition>) -> &'a str {
        let parts = ["_bucket", "_sum", "_count"];
        let own = parts.iter().find_map(|part| self.name.strip_suffix(part)).unwrap_or(&self.name);
        let is_histogram =
            told.values().filter_map(|e| e.0.get(own)).any(|family| family.kind == "histogram");
        if is_histogram { own } else { &self.name }
    }
}

/// The metrics that a query asks for.
pub fn queries(expression: &str) -> Vec<Asked> {
    let grouped: Vec<String> = GROUPED
        .captures_iter(expression)
        .flat_map(|by| by[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let asked = |found: regex::Captures| Asked {
        name: found[1].to_owned(),
        matchers: found.get(2).map(|selector| matchers(selector.as_str())).unwrap_or_default(),
        grouped: grouped.clone(),
    };
    ASKED.captures_iter(expression).map(asked).collect()
}

fn matchers(selector: &str) -> Vec<(String, String)> {
    let mut matchers = Vec::new();
    for matcher in MATCHER.captures_iter(selector) {
        let alternatives = matcher[3].split('|').map(|value| (matcher[1].to_owned(), value.to_owned()));
        matchers.extend(alternatives);
    }
    matchers
}
