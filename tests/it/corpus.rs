//! The corpus of ordinary and unwanted messages is what it says it is, and the built-in rules judge it well.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use gatepost::domain::purpose::Purpose;
use gatepost::domain::rules::{Rules, THROTTLE, score};
use serde_json::Value;

/// The messages of one part.
fn messages(part: &str, label: &str) -> Vec<Value> {
    let files: &[&str] = if part == "practice" { &["", "more_", "further_"] } else { &[""] };
    let mut messages = Vec::new();
    for file in files {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/{part}/{file}{label}.jsonl"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        messages.extend(
            text.lines().map(|line| -> Value { serde_json::from_str(line).expect("each line is an object") }),
        );
    }
    messages
}

fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_else(|| panic!("{name} of {}", message["id"]))
}

pub fn corpus_is_large_enough_and_nothing_is_in_it_twice() {
    let (mut ids, mut texts) = (HashSet::new(), HashSet::new());
    for label in ["ordinary", "unwanted"] {
        let mut count = 0;
        let mut arabic = 0;
        for half in ["seen", "unseen", "practice"] {
            let messages = messages(half, label);
            assert!(messages.len() >= 150, "{half} {label}: {}", messages.len());
            count += if half == "practice" { 0 } else { messages.len() };
            for message in &messages {
                assert_eq!(text(message, "label"), label);
                let purpose = Purpose::parse(text(message, "purpose"));
                assert!(purpose.is_some(), "the purpose of {}", message["id"]);
                arabic += usize::from(half != "practice" && text(message, "language") != "en");
                assert!(ids.insert(text(message, "id").to_owned()), "{} twice", message["id"]);
                let body = text(message, "text");
                assert!(!body.is_empty() && !body.contains('\0') && body.encode_utf16().count() <= 4096);
                assert!(texts.insert(body.to_owned()), "the text of {} twice", message["id"]);
            }
        }
        assert!(count >= 300 && arabic >= 120, "{label}: {count}, {arabic} of them Arabic");
    }
}

/// What the rules made of one file.
struct Judged {
    stopped: usize,
    all: usize,
    /// The ids that were judged wrongly; only to be shown for the seen half.
    wrong: Vec<String>,
    /// Of each kind, how many were stopped and how many there are.
    kinds: BTreeMap<String, (usize, usize)>,
}

impl Judged {
    /// Stopped ones of a thousand.
    fn per_mille(&self) -> usize {
        self.stopped * 1000 / self.all
    }
}

fn judge(rules: &Rules, half: &str, label: &str) -> Judged {
    let mut judged = Judged { stopped: 0, all: 0, wrong: Vec::new(), kinds: BTreeMap::new() };
    for message in messages(half, label) {
        let purpose = Purpose::parse(text(&message, "purpose")).expect("a purpose");
        let stopped = score(&rules.read(text(&message, "text"), purpose).signals) >= THROTTLE;
        let kind = judged.kinds.entry(text(&message, "kind").to_owned()).or_default();
        kind.1 += 1;
        kind.0 += usize::from(stopped);
        judged.all += 1;
        judged.stopped += usize::from(stopped);
        if stopped != (label == "unwanted") {
            judged.wrong.push(text(&message, "id").to_owned());
        }
    }
    judged
}

/// At most 0.5 % of the ordinary are stopped where no rule was written for them. Of the unwanted, what is reached is not
/// lost; that is far from the 95 % that are wanted: see the README's figures.
pub fn corpus_is_judged_no_worse_than_before() {
    let rules = Rules::builtin();
    let [seen, practice, unseen] = ["seen", "practice", "unseen"].map(|half| {
        let ordinary = judge(&rules, half, "ordinary");
        let unwanted = judge(&rules, half, "unwanted");
        let stopped = ordinary.stopped + unwanted.stopped;
        eprintln!(
            "{half}: {} of {} unwanted stopped, {} of {} ordinary stopped; recall {:.3}, precision {:.3}",
            unwanted.stopped,
            unwanted.all,
            ordinary.stopped,
            ordinary.all,
            unwanted.stopped as f64 / unwanted.all as f64,
            unwanted.stopped as f64 / stopped.max(1) as f64,
        );
        (ordinary, unwanted)
    });
    assert!(seen.0.stopped == 0, "ordinary ones stopped: {:?}", seen.0.wrong);
    // Many of these are made to be mistaken.
    assert!(practice.0.per_mille() <= 12, "ordinary ones stopped: {:?}", practice.0.wrong);
    assert!(unseen.0.per_mille() <= 5, "ordinary ones stopped: {:?}", unseen.0.kinds);
    assert!(unseen.1.per_mille() >= 840, "unwanted ones stopped: {:?}", unseen.1.kinds);
}
