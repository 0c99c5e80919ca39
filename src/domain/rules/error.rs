//! What is wrong with a rules file, and where.

use std::fmt;

/// The first fault of a rules file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RulesError {
    /// The line it is on, from 1; none when something is missing from the file as a whole.
    pub line: Option<usize>,
    /// The id of the rule it is in, where there is one.
    pub rule: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "{}rule \"{rule}\"", if self.line.is_some() { ", " } else { "" })?;
        }
        let place = self.line.is_some() || self.rule.is_some();
        write!(f, "{}{}", if place { ": " } else { "" }, self.problem)
    }
}

/// A rules file, to say where in it something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Place<'a>(pub(super) &'a str);

impl Place<'_> {
    /// A fault at this byte of the file.
    pub(super) fn error(self, at: usize, problem: impl Into<String>) -> RulesError {
        let before = &self.0.as_bytes()[..at.min(self.0.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        RulesError { line: Some(line + 1), rule: self.rule(line), problem: problem.into() }
    }

    /// The id in the block around a line (counted from 0) when that is a rule's.
    fn rule(self, line: usize) -> Option<String> {
        let lines: Vec<&str> = self.0.lines().collect();
        let header = |line: &&str| line.trim_start().starts_with('[') && !line.trim_end().ends_with(',');
        let first = (0..=line.min(lines.len().checked_sub(1)?)).rev().find(|at| header(&lines[*at]))?;
        if lines[first].trim() != "[[rule]]" {
            return None;
        }
        let block = lines[first + 1..].iter().take_while(|line| !header(line));
        let id =
            block.filter_map(|line| line.trim().strip_prefix("id")?.trim_start().strip_prefix('=')).next()?;
        Some(id.trim().trim_matches('"').to_owned())
    }
}
