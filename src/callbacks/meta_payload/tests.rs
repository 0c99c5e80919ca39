use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ReportedStatus, Update, parse};

const SAMPLES: &str = include_str!("../../../tests/fixtures/meta/webhooks.json");
const RECEIVED: i64 = 1_770_000_000;

fn received_at() -> Timestamp {
    Timestamp::from_second(RECEIVED).expect("in range")
}

fn sample(name: &str) -> Value {
    let samples: Value = serde_json::from_str(SAMPLES).expect("the fixture is JSON");
    assert!(samples[name].is_object(), "{name} is not in the fixture");
    samples[name].clone()
}

/// An update on one line.
fn line(update: &Update) -> String {
    let opt = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    match update {
        Update::Status { phone_number_id, provider_message_id: id, status, at, user_id, opaque } => {
            let status = match status {
                ReportedStatus::Failed(failure) => {
                    format!("failed/{}/{:?}/{}", failure.class.as_str(), failure.code, failure.opt_out)
                }
                other => format!("{other:?}").to_lowercase(),
            };
            let known = user_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
            format!("{phone_number_id} status {id} {status} {} {}{known}", at.as_second(), opt(opaque))
        }
        Update::Inbound {
            phone_number_id,
            provider_message_id: id,
            from,
            user_id,
            texts,
            replied_to,
            at,
        } => {
            let (from, user_id, replied_to) = (opt(from), opt(user_id), opt(replied_to));
            let at = at.as_second();
            format!("{phone_number_id} inbound {id} {from} {user_id} [{}] {replied_to} {at}", texts.join("|"))
        }
        Update::Preference { phone_number_id, wa_id, user_id, stop, at } => {
            let (wa_id, user_id) = (opt(wa_id), opt(user_id));
            format!("{phone_number_id} preference {wa_id} {user_id} stop={stop} {}", at.as_second())
        }
        Update::NumberChanged { phone_number_id, provider_message_id: id, old, new, at } => {
            format!("{phone_number_id} number {id} {old} {new} {}", at.as_second())
        }
        Update::SenderError { phone_number_id, failure } => {
            format!("{phone_number_id} error {} {:?}", failure.class.as_str(), failure.code)
        }
        Update::Account { business_account_id, news, words } => {
            format!("{business_account_id} account {news:?} {words}")
        }
        Update::News { business_account_id, field, words } => {
            format!("{business_account_id} {field} {words}")
        }
    }
}

/// The updates of a body, each on a line, and the number of parts left out.
fn lines(body: &[u8]) -> (Vec<String>, usize) {
    let payload = parse(body, received_at()).expect("a JSON object");
    (payload.updates.iter().map(line).collect(), payload.ignored)
}

/// Every sample: its name, the updates in it, and how many parts are left out.
const CASES: &[(&str, &[&str], usize)] = &[
    ("status_sent", &["10955 status wamid.OURS01== sent 1769904001 m_88:a_2"], 0),
    ("status_minimal", &["10955 status wamid.OURS01== delivered 1769904003 -"], 0),
    ("status_played", &["10955 status wamid.OURS01== read 1769904060 -"], 0),
    ("status_of_an_unknown_word", &[], 1),
    (
        "status_failed",
        &["10955 status wamid.OURS02== failed/recipient/Some(131026)/false 1769904002 m_89:a_1"],
        0,
    ),
    (
        "status_failed_after_opt_out",
        &["10955 status wamid.OURS03== failed/recipient/Some(131050)/true 1769904002 -"],
        0,
    ),
    (
        "status_failed_without_errors",
        &["10955 status wamid.OURS04== failed/permanent/None/false 1769904002 -"],
        0,
    ),
    (
        "batch",
        &[
            "10955 status wamid.OURS01== read 1769904060 -",
            "10955 status wamid.OURS01== delivered 1769904003 -",
            "10955 status wamid.OURS01== sent 1769904001 -",
            "10955 status wamid.OURS02== failed/window/Some(131047)/false 1769904002 -",
            "10955 inbound wamid.IN01== 966500000007 - [hello] - 1769904100",
        ],
        0,
    ),
    ("inbound_text", &["10955 inbound wamid.IN01== 966500000007 - [إيقاف] - 1769904100"], 0),
    ("inbound_reply", &["10955 inbound wamid.IN02== 966500000007 - [Stop] wamid.OURS01== 1769904100"], 0),
    ("inbound_without_phone", &["10955 inbound wamid.IN03== - SA.100200300 [STOP] - 1769904100"], 0),
    (
        "inbound_phone_in_contacts_only",
        &["10955 inbound wamid.IN03== 966500000007 SA.100200300 [STOP] - 1769904100"],
        0,
    ),
    (
        "inbound_user_id_in_contacts_only",
        &["10955 inbound wamid.IN03== 966500000007 SA.100200300 [STOP] - 1769904100"],
        0,
    ),
    (
        "inbound_template_button",
        &[
            "10955 inbound wamid.IN04== 966500000007 - [Unsubscribe|unsubscribe_all] wamid.OURS01== 1769904100",
        ],
        0,
    ),
    (
        "inbound_button_reply",
        &["10955 inbound wamid.IN05== 966500000007 - [opt_out|Stop messages] wamid.OURS01== 1769904100"],
        0,
    ),
    (
        "inbound_list_reply",
        &["10955 inbound wamid.IN06== 966500000007 - [evening|Evening] wamid.OURS01== 1769904100"],
        0,
    ),
    ("inbound_unsupported", &["10955 inbound wamid.IN07== 966500000007 - [] - 1769904100"], 0),
    ("inbound_image", &["10955 inbound wamid.IN08== 966500000007 - [] - 1769904100"], 0),
    ("number_changed", &["10955 number wamid.IN09== 966500000007 966500000009 1769904100"], 0),
    ("system_of_another_kind", &[], 1),
    ("preference_stop", &["10955 preference 966500000007 - stop=true 1769904200"], 0),
    ("preference_resume", &["10955 preference 966500000007 - stop=false 1769904200"], 0),
    ("preference_of_an_unknown_word", &[], 1),
    ("sender_error", &["10955 error throttle_sender Some(130429)"], 0),
    ("account_violation", &["700100200300400 account Other ACCOUNT_VIOLATION SAMPLE"], 0),
    ("echo_of_the_owners_app", &[], 0),
];

#[test]
fn every_sample_says_what_it_should() {
    for (name, expected, ignored) in CASES {
        let (updates, left_out) = lines(sample(name).to_string().as_bytes());
        assert_eq!(updates, *expected, "{name}");
        assert_eq!(left_out, *ignored, "{name}");
    }
    let samples: Value = serde_json::from_str(SAMPLES).expect("the fixture is JSON");
    assert_eq!(samples.as_object().map(serde_json::Map::len), Some(CASES.len()), "every sample has its case");
}

#[test]
fn escapes_are_decoded() {
    let body = include_bytes!("../../../tests/fixtures/meta/signed_body.raw");
    let expected = "10955 inbound wamid.SIGNED01== 966500000007 - [أوقف الرسائل 🛑] - 1769904000";
    assert_eq!(lines(body), (vec![expected.to_owned()], 0));
}

#[test]
fn a_broken_update_costs_none_of_its_neighbours() {
    let good = json!({"id": "wamid.OURS01==", "status": "read", "timestamp": "1769904060"}).to_string();
    let kept = "10955 status wamid.OURS01== read 1769904060 -";
    for broken in [
        "null",
        "7",
        "[]",
        "{}",
        r#"{"status":"read","timestamp":"1769904060"}"#,
        r#"{"id":"","status":"read"}"#,
        r#"{"id":{"x":1},"status":"read"}"#,
        r#"{"id":"wamid.X","status":["read"]}"#,
        // Half an emoji: legal JSON, but no text.
        r#"{"id":"wamid.\ud83d","status":"read","timestamp":"1769904060"}"#,
    ] {
        let body = format!(
            r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"10955"}},
                "contacts":[{{"profile":{{"name":"\udc00"}}}}],"statuses":[{good},{broken},{good}]}}}}]}}]}}"#
        );
        assert_eq!(lines(body.as_bytes()), (vec![kept.to_owned(); 2], 2), "{broken}");
    }
}

#[test]
fn a_part_of_the_wrong_kind_costs_only_itself() {
    // The sample has five updates: two in its first entry, one and two in the two changes of its second.
    for (place, left) in [
        ("/entry/0", 3),
        ("/entry/0/changes", 3),
        ("/entry/0/changes/0", 3),
        ("/entry/0/changes/0/field", 3),
        ("/entry/0/changes/0/value", 3),
        ("/entry/0/changes/0/value/metadata", 3),
        ("/entry/0/changes/0/value/statuses", 3),
        ("/entry/0/changes/0/value/statuses/0", 4),
        ("/entry/1/changes/1/value/statuses/0/errors", 5),
    ] {
        for wrong in [Value::Null, json!(7), json!("words"), json!([[]])] {
            let mut body = sample("batch");
            *body.pointer_mut(place).expect("the sample has this place") = wrong.clone();
            let (updates, _) = lines(body.to_string().as_bytes());
            assert_eq!(updates.len(), left, "{place} as {wrong}: {updates:?}");
        }
    }
}

#[test]
fn a_missing_time_is_the_time_of_receipt_and_a_time_may_be_a_number() {
    for (time, expected) in [
        (json!("1769904060"), 1_769_904_060),
        (json!(1_769_904_060), 1_769_904_060),
        (json!("soon"), RECEIVED),
        (json!(i64::MAX), RECEIVED),
        (json!(1.5), RECEIVED),
        (Value::Null, RECEIVED),
    ] {
        let mut body = sample("status_minimal");
        *body.pointer_mut("/entry/0/changes/0/value/statuses/0/timestamp").expect("it has a time") =
            time.clone();
        let (updates, _) = lines(body.to_string().as_bytes());
        assert_eq!(updates, [format!("10955 status wamid.OURS01== delivered {expected} -")], "{time}");
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused_without_being_quoted() {
    for body in ["", "966500000007", "\"966500000007\"", "{\"entry\":[", "<html>966500000007"] {
        let Err(error) = parse(body.as_bytes(), received_at()) else { panic!("{body} was accepted") };
        assert!(!error.to_string().contains("966500"), "{error}");
    }
    assert_eq!(lines(b"{}"), (vec![], 0));
}

#[test]
fn what_postgres_cannot_store_is_taken_out() {
    let mut body = sample("inbound_text");
    *body.pointer_mut("/entry/0/changes/0/value/messages/0/text/body").expect("it has a text") =
        json!("st\0op");
    let expected = "10955 inbound wamid.IN01== 966500000007 - [stop] - 1769904100";
    assert_eq!(lines(body.to_string().as_bytes()).0, [expected]);
}
