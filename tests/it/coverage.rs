//! Which test shows what becomes of which answer of an Evolution server's: `answer → class → test`, printed by
//! `cargo test --test it -- coverage`. Meta's codes name their tests themselves (see `meta_samples`).

use std::collections::BTreeSet;

use serde::Deserialize;

/// The test from outside that shows what follows from a class. That each sample has its class is shown by replaying it, in
/// `evolution_samples`.
const SHOWN_BY: &[(&str, &str)] = &[
    ("retry", "evolution_sending::evolution_faults_before_the_send_are_tried_again"),
    ("instance", "evolution_sending::evolution_instance_errors_hold_the_sender"),
    ("permanent", "evolution_sending::evolution_refusals_fail_at_once"),
    ("recipient", "evolution_sending::evolution_refusals_fail_at_once"),
    ("unknown", "evolution_sending::evolution_doubts_are_no_second_send"),
];

#[derive(Deserialize)]
struct Sample {
    name: String,
    http: u16,
    /// The class, and after it how long it waits.
    class: String,
}

/// Every class that Evolution's answers have is shown by a test that exists, and no line is about nothing.
#[expect(clippy::print_stdout, reason = "the table is what it is asked for")]
pub fn coverage_of_every_answer() {
    let samples: Vec<Sample> =
        serde_json::from_str(include_str!("../fixtures/evolution/send_errors.json")).expect("a list");
    let class = |sample: &Sample| sample.class.split(' ').next().unwrap_or_default().to_owned();
    let registered = include_str!("main.rs");
    for sample in &samples {
        let class = class(sample);
        let test = SHOWN_BY.iter().find(|(shown, _)| *shown == class).map(|(_, test)| *test);
        let test = test.unwrap_or_else(|| panic!("no test is named for {class}: add a line to SHOWN_BY"));
        assert!(registered.contains(&format!("        {test},\n")), "{test} is not in main.rs");
        if std::env::args().any(|argument| argument.starts_with("coverage")) {
            println!("evolution {} {} → {class} → {test}", sample.http, sample.name);
        }
    }
    let classes: BTreeSet<String> = samples.iter().map(class).collect();
    for (class, _) in SHOWN_BY {
        assert!(classes.contains(*class), "no answer is `{class}`");
    }
}
