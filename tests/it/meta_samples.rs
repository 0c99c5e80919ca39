//! Every sample of Meta's callbacks, through the real endpoint with a valid signature, and what it does; and the list of
//! all samples with the tests that show them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::line::{Line, OURS, PERSON, samples};
use crate::support::meta::all_applied;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::World;

const NOTHING: &str = "select $1::int8";
const STOPPED_MARKETING: &str = "insert into suppressions (account_id, recipient, scope, source, created_at)
    values ($1, '966500000007', 'non_essential', 'provider', '2026-01-01')";
const STOPPED: &str = "insert into suppressions (account_id, recipient, scope, source, created_at)
    values ($1, '966500000007', 'all', 'inbound', '2026-01-01')";
const DISABLED: &str = "update instances set connection = 'suspect', connection_by = 'provider',
    hold_reason = 'meta disabled the business account' where account_id = $1";

const STOP: &str = "all stopped by inbound, heard 1, window of the person, told recipient.opted_out";
const SPOKE: &str = "heard 1, window of the person";

/// Every sample: its name, what is so before, and what is so afterwards of an account with four messages on their way.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("account_alerts", NOTHING, ""),
    (
        "account_update_deleted",
        NOTHING,
        "suspect because the business account is not on meta's platform any more, told instance.connection_updated",
    ),
    (
        "account_update_disabled",
        NOTHING,
        "suspect because meta disabled the business account, told instance.connection_updated",
    ),
    ("account_update_reinstated", DISABLED, "told instance.connection_updated"),
    ("account_update_restriction", NOTHING, "templates held"),
    ("account_update_violation", NOTHING, ""),
    ("business_capability_update", NOTHING, ""),
    ("business_capability_update_tier_string", NOTHING, ""),
    ("inbound_button_quick_reply_stop", NOTHING, STOP),
    ("inbound_interactive_button_reply", NOTHING, STOP),
    ("inbound_interactive_list_reply", NOTHING, SPOKE),
    (
        "inbound_system_user_changed_number",
        STOPPED,
        "all stopped by inbound elsewhere all stopped by inbound",
    ),
    ("inbound_text_reply_to_our_message", NOTHING, STOP),
    ("inbound_text_stop", NOTHING, STOP),
    ("inbound_text_stop_arabic", NOTHING, STOP),
    ("inbound_text_stop_no_phone_2026", NOTHING, "opt_out waits, heard 1"),
    (
        "inbound_text_stop_with_bsuid_2026",
        NOTHING,
        "all stopped by inbound, knows the number, heard 1, window of the person, told recipient.opted_out",
    ),
    ("inbound_unsupported_131051", NOTHING, SPOKE),
    ("message_template_status_update_approved", NOTHING, ""),
    ("phone_number_quality_update", NOTHING, ""),
    (
        "status_batch_out_of_order",
        NOTHING,
        "read failed by gateway_send_failed, told message.read message.status_updated",
    ),
    ("status_delivered", NOTHING, "delivered, told message.delivered message.status_updated"),
    (
        "status_delivered_no_phone_2026",
        NOTHING,
        "delivered, knows the number, told message.delivered message.status_updated",
    ),
    ("status_failed_131026", NOTHING, "failed by gateway_send_failed, told message.status_updated"),
    ("status_failed_131047", NOTHING, "failed by needs_template, told message.status_updated"),
    (
        "status_failed_131049",
        NOTHING,
        "failed by gateway_send_failed, non_essential stopped by provider for a while, told message.status_updated",
    ),
    (
        "status_failed_131050",
        NOTHING,
        "failed by gateway_send_failed, non_essential stopped by provider, told message.status_updated recipient.opted_out",
    ),
    ("status_failed_131053", NOTHING, "failed by gateway_send_failed, told message.status_updated"),
    ("status_read", NOTHING, "read, told message.read message.status_updated"),
    ("status_sent", NOTHING, "sent, told message.status_updated"),
    ("status_sent_v24_minimal", NOTHING, "sent, told message.status_updated"),
    ("status_sent_with_bsuid_2026", NOTHING, "sent, knows the number, told message.status_updated"),
    ("user_preferences_resume", STOPPED_MARKETING, "told recipient.opted_in"),
    ("user_preferences_stop", NOTHING, "non_essential stopped by provider, told recipient.opted_out"),
    ("value_level_error_130429", NOTHING, "held because meta 130429: phone number reached its throughput"),
];

/// Each sample, posted with a valid signature to an account of its own, has its effect and no other; posted again, and
/// once more as another body that says the same, it changes nothing.
pub async fn every_callback_has_its_effect(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let (database, samples) = (world.database().await, samples());
    let named: BTreeSet<&str> = EFFECTS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(named, samples.keys().map(String::as_str).collect(), "every sample has its effect");
    let mut lines = Vec::new();
    for (name, before, expected) in EFFECTS {
        let line = Line::open(&database).await;
        database.execute(*before, &[&line.account_id]).await.expect("it can be made so");
        line.post(&world, &line.told(&samples[*name])).await;
        lines.push((*name, *expected, line));
    }
    all_applied(&database).await;
    let mut differ = Vec::new();
    for (name, expected, line) in &lines {
        let effect = line.effect(&database).await;
        if effect != *expected {
            differ.push(format!("{name}: {effect:?} instead of {expected:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));

    let told = count(&database, "select count(*) from events").await;
    for (name, _, line) in &lines {
        line.post(&world, &line.told(&samples[*name])).await;
        let mut again = line.told(&samples[*name]);
        again["said_again"] = json!(true);
        line.post(&world, &again).await;
    }
    all_applied(&database).await;
    let rows = i64::try_from(2 * EFFECTS.len()).expect("few");
    assert_eq!(
        count(&database, "select count(*) from callbacks").await,
        rows,
        "the very same body is one row"
    );
    assert_eq!(count(&database, "select count(*) from events").await, told);
    for (name, expected, line) in &lines {
        assert_eq!(line.effect(&database).await, *expected, "{name}");
    }
    let log = gateway.log();
    for words in [
        "ACCOUNT_VIOLATION ADULT",
        "WARNING INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED",
        "THROUGHPUT_UPGRADE TIER_UNLIMITED",
        "TIER_2K",
        "APPROVED",
    ] {
        assert!(log.contains(words), "the operator is told {words}");
    }
    assert!(!log.contains(PERSON) && !log.contains("966551112222") && !log.contains(OURS[0]));
}

/// Where each sample is kept, and what it shows.
const LIST: &str = include_str!("../fixtures/meta/samples.tsv");

/// The list names every sample that is kept and no other, and tests that there are. Asked for by `coverage`, it is printed.
pub fn coverage_of_samples_is_complete() {
    let rows: Vec<Vec<&str>> =
        LIST.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    show(LIST);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/meta/");
    let mut listed = BTreeSet::new();
    for row in &rows {
        let [sample, kept_in, effect, shown_by] = row[..] else { panic!("four cells: {row:?}") };
        assert!(listed.insert((kept_in, sample)), "{sample} is listed twice");
        assert!(!effect.is_empty());
        let kept = std::fs::read_to_string(format!("{folder}{kept_in}"));
        let kept = kept.unwrap_or_else(|error| panic!("{sample} is kept in {kept_in}: {error}"));
        if matches!(kept_in, "callbacks.json" | "answers.json") {
            assert!(kept.contains(&format!("\"{sample}\": ")), "{sample} is not in {kept_in}");
        }
        for test in shown_by.split(' ') {
            assert!(is_a_test(test), "{test}, which shows {sample}, is no test");
        }
    }
    let bundles = [
        ("callbacks.json", include_str!("../fixtures/meta/callbacks.json")),
        ("answers.json", include_str!("../fixtures/meta/answers.json")),
    ];
    for (file, bundle) in bundles {
        let bundle: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(bundle).expect("an object");
        for sample in bundle.keys() {
            assert!(listed.contains(&(file, sample.as_str())), "{sample} of {file} is not listed");
        }
    }
}

/// The codes' table names, for each code, the tests that show its class at work, and they are tests that there are. With
/// `coverage` asked for, the code, its class and its tests are printed.
pub fn coverage_of_codes_is_complete() {
    let table = include_str!("../fixtures/meta/codes.tsv");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (code, class, shown_by) = (cells[0], cells[5], cells[11]);
        show(&format!("meta {code} → {class} → {shown_by}"));
        for test in shown_by.split(' ') {
            assert!(is_a_test(test), "{test}, which shows {code}, is no test");
        }
    }
}

/// Prints it for whoever asks for `coverage`.
#[expect(clippy::print_stdout, reason = "it was asked for")]
fn show(what: &str) {
    if std::env::args().any(|argument| argument.contains("coverage")) {
        println!("{what}");
    }
}

/// Whether a source has a test of that name: `module::function` of these tests, or a path below `src` of a unit test.
fn is_a_test(name: &str) -> bool {
    let root = env!("CARGO_MANIFEST_DIR");
    let Some((module, function)) = name.rsplit_once("::") else { return false };
    let path = module.replace("::", "/");
    let places = [format!("{root}/tests/it/{path}.rs"), format!("{root}/src/{path}.rs")];
    let is_there = |place: &String| {
        std::fs::read_to_string(place).is_ok_and(|text| text.contains(&format!("fn {function}(")))
    };
    places.iter().any(is_there)
}
