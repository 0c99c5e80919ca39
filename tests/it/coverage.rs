//! Which test shows what becomes of which answer of a provider's: `code → class → test`, printed by
//! `cargo test --test it -- coverage`.

use std::collections::BTreeSet;

use serde::Deserialize;

/// The test from outside that shows a class, or one code of it: whose answer, the class or code, the test. A code's own
/// line goes before its class's.
const SHOWN_BY: &[(&str, &str, &str)] = &[
    ("meta", "retry", "delivery::a_transient_failure_is_tried_again"),
    ("meta", "throttle_sender", "delivery::throttles_delay_and_do_not_count"),
    ("meta", "throttle_pair", "delivery::throttles_delay_and_do_not_count"),
    ("meta", "instance", "delivery::an_instance_error_holds_the_sender"),
    ("meta", "permanent", "sandbox::sandbox_recipients_on_metas_wire"),
    ("meta", "recipient", "sandbox::sandbox_recipients_on_metas_wire"),
    ("meta", "window", "sandbox::sandbox_recipients_on_metas_wire"),
    ("meta", "unknown", "delivery::a_timeout_is_unknown_and_not_a_second_send"),
    ("evolution", "retry", "evolution_sending::evolution_faults_before_the_send_are_tried_again"),
    ("evolution", "instance", "evolution_sending::evolution_instance_errors_hold_the_sender"),
    ("evolution", "permanent", "evolution_sending::evolution_refusals_fail_at_once"),
    ("evolution", "recipient", "evolution_sending::evolution_refusals_fail_at_once"),
    ("evolution", "unknown", "evolution_sending::evolution_doubts_are_no_second_send"),
];

/// Every answer of a provider's that the documents name, with its class.
struct Known {
    provider: &'static str,
    /// Meta's code with its subcode; Evolution's status and what it says.
    code: String,
    class: String,
}

impl Known {
    /// The line that counts for it.
    fn test(&self) -> Option<&'static str> {
        let line = |name: &str| {
            SHOWN_BY.iter().find(|(provider, what, _)| *provider == self.provider && *what == name)
        };
        line(&self.code).or_else(|| line(&self.class)).map(|(_, _, test)| *test)
    }
}

fn known() -> Vec<Known> {
    let mut known = of_meta();
    known.extend(of_evolution());
    let no_answer =
        Known { provider: "meta", code: "no answer, or no id in it".into(), class: "unknown".into() };
    known.push(no_answer);
    known
}

fn of_meta() -> Vec<Known> {
    let rows = include_str!("../fixtures/meta/codes.tsv").lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('\t').collect();
        let code = if cells[1] == "-" { cells[0].to_owned() } else { format!("{}/{}", cells[0], cells[1]) };
        Known { provider: "meta", code, class: cells[5].to_owned() }
    })
    .collect()
}

fn of_evolution() -> Vec<Known> {
    #[derive(Deserialize)]
    struct Sample {
        name: String,
        http: u16,
        class: String,
    }
    let samples: Vec<Sample> =
        serde_json::from_str(include_str!("../fixtures/evolution/send_errors.json")).expect("a list");
    let read = |sample: Sample| Known {
        provider: "evolution",
        code: format!("{} {}", sample.http, sample.name),
        // After the class stands how long it waits.
        class: sample.class.split(' ').next().unwrap_or_default().to_owned(),
    };
    samples.into_iter().map(read).collect()
}

/// Every class that a provider's answers have is shown by a test that exists, and no line is about nothing.
#[expect(clippy::print_stdout, reason = "the table is what it is asked for")]
pub fn coverage_of_every_class() {
    let known = known();
    if std::env::args().any(|argument| argument.starts_with("coverage")) {
        for one in &known {
            let test = one.test().unwrap_or("none");
            println!("{:<9}  {:<48}  {:<15}  {test}", one.provider, one.code, one.class);
        }
    }
    let unshown: BTreeSet<(&str, &str)> = known
        .iter()
        .filter(|one| one.test().is_none())
        .map(|one| (one.provider, one.class.as_str()))
        .collect();
    assert!(unshown.is_empty(), "no test is named for {unshown:?}: add a line to SHOWN_BY");
    let registered = include_str!("main.rs");
    for (provider, what, test) in SHOWN_BY {
        assert!(registered.contains(&format!("        {test},\n")), "{test} is not in main.rs");
        let about =
            known.iter().any(|one| one.provider == *provider && (one.class == *what || one.code == *what));
        assert!(about, "no answer of {provider}'s is `{what}`");
    }
}
