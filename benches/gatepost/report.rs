//! What was measured, as a table for people and as JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::load::Measured;
use crate::machine::Machine;

/// What a figure should come to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub bench: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub goal: Option<Goal>,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    wrong: Vec<String>,
    floor: f64,
    floor_behind_http: f64,
}

impl Report {
    /// Adds a figure.
    pub fn add(&mut self, bench: &'static str, what: impl Into<String>, value: f64, unit: &'static str) {
        self.push(Figure { bench, what: what.into(), value, unit, goal: None });
    }

    /// Adds a figure that has a goal.
    pub fn aim(
        &mut self,
        bench: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Goal,
    ) {
        self.push(Figure { bench, what: what.into(), value, unit, goal: Some(goal) });
    }

    fn push(&mut self, figure: Figure) {
        eprintln!("bench: {}: {}: {} {}", figure.bench, figure.what, number(figure.value), figure.unit);
        self.figures.push(figure);
    }

    /// Adds what a load was answered; any answer but the expected one makes the run fail.
    pub fn answers(&mut self, bench: &'static str, what: &str, measured: &Measured) {
        for (name, part) in [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9), ("longest", 100.0)] {
            self.add(bench, format!("{what}: {name}"), measured.millis(part), "ms");
        }
        self.must(measured.unexpected().is_none(), || {
            format!("{bench}, {what}: {}", measured.unexpected().unwrap_or_default())
        });
    }

    /// Notes what must not be.
    pub fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            eprintln!("bench: WRONG: {what}");
            self.wrong.push(what);
        }
    }

    /// Sets what the others are compared with, in messages a second.
    pub fn set_floors(&mut self, bare: f64, behind_http: f64) {
        (self.floor, self.floor_behind_http) = (bare, behind_http);
    }

    /// A rate as a part of the floor, in percent.
    pub fn of_floor(&self, rate: f64) -> f64 {
        rate / self.floor * 100.0
    }

    /// A rate as a part of the floor behind HTTP, in percent.
    pub fn of_floor_behind_http(&self, rate: f64) -> f64 {
        rate / self.floor_behind_http * 100.0
    }

    /// What must not be and was.
    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// The table, the machine above it.
    pub fn table(&self, machine: &Machine) -> String {
        let mut table = machine.text();
        table.push_str("\n| bench | what | measured | goal |\n|---|---|---:|---|\n");
        for figure in &self.figures {
            let goal = figure.goal.map_or_else(String::new, |goal| {
                let verdict = if goal.is_reached(figure.value) { "reached" } else { "missed" };
                format!("{} {}: {verdict}", goal.text(), figure.unit)
            });
            let Figure { bench, what, value, unit, .. } = figure;
            let _ = writeln!(table, "| {bench} | {what} | {} {unit} | {goal} |", number(*value));
        }
        for wrong in &self.wrong {
            let _ = writeln!(table, "WRONG: {wrong}");
        }
        table
    }

    /// The same for machines.
    pub fn json(&self, machine: &Machine) -> serde_json::Value {
        json!({"machine": machine, "figures": self.figures, "wrong": self.wrong})
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
