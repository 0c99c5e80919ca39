use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ReportedStatus, Update, parse};

const SAMPLES: &str = include_str!("../../../tests/fixtures/evolution/callbacks.json");
const RECEIVED: i64 = 1_770_000_000;

fn samples() -> Value {
    serde_json::from_str(SAMPLES).expect("the fixture is JSON")
}

fn sample(name: &str) -> Value {
    let sample = samples()[name].take();
    assert!(sample.is_object(), "{name} is not in the fixture");
    sample
}

/// An update on one line.
fn line(update: &Update) -> String {
    let opt = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    match update {
        Update::Status { provider_message_id: id, status, lid } => {
            let status = match status {
                ReportedStatus::Failed(failure) => format!("failed/{}", failure.class.as_str()),
                other => format!("{other:?}").to_lowercase(),
            };
            format!("status {id} {status} {}", opt(lid))
        }
        Update::WentOut { provider_message_id: id, to, lid, text } => {
            format!("out {id} {} {} [{}]", opt(to), opt(lid), opt(text))
        }
        Update::Inbound { provider_message_id: id, from, lid, texts, replied_to, at } => {
            let (from, lid, replied_to) = (opt(from), opt(lid), opt(replied_to));
            format!("inbound {id} {from} {lid} [{}] {replied_to} {}", texts.join("|"), at.as_second())
        }
        Update::Connection { state, code, number } => {
            let code = code.map_or("-".to_owned(), |code| code.to_string());
            format!("connection {} {code} {}", state.as_str(), opt(number))
        }
    }
}

/// The updates of a body, each on a line, and the number of parts left out.
fn lines(body: &[u8]) -> (Vec<String>, usize) {
    let payload = parse(body, Timestamp::from_second(RECEIVED).expect("in range")).expect("a JSON object");
    (payload.updates.iter().map(line).collect(), payload.ignored)
}

#[test]
fn only_what_whatsapp_caused_shows_that_it_is_in_touch() {
    let in_touch: Vec<String> = samples()
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(_, body)| {
            let parsed = parse(body.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
            parsed.expect("a JSON object").in_touch
        })
        .map(|(name, _)| name.clone())
        .collect();
    let not = [
        "owner_writes_stop",
        "update_pending",
        "update_error",
        "update_read_of_theirs",
        "update_edit_as_deleted",
        "update_edit_as_server_ack",
        "update_deleted_of_ours",
        "update_of_an_unknown_word",
        "send_message",
        "send_message_in_capitals",
        "delete_of_ours",
        "delete_of_ours_with_status",
        "presence",
    ];
    for (name, _) in samples().as_object().expect("an object") {
        let other = not.contains(&name.as_str())
            || ["connection_", "qrcode_", "status_instance", "logout_", "remove_"]
                .iter()
                .any(|start| name.starts_with(start));
        assert_eq!(in_touch.contains(name), !other, "{name}");
    }
}

const NUMBER: &str = "966533330007";
const LID: &str = "271828182845904@lid";
const OURS: &str = "3EB05D2E9A7C4B1F608D3E";
const ANDROID: &str = "AC7711223344556677889900AABBCCDD";
const IPHONE: &str = "3A77112233445566AABB";

/// Every sample: its name, the updates in it with the names above as `{N}`, `{L}`, `{O}`, `{A}` and `{I}`, and how many
/// parts are left out.
const CASES: &[(&str, &[&str], usize)] = &[
    ("stop_with_number_and_lid", &["inbound {A} {N} {L} [STOP] - 1769904100"], 0),
    ("stop_lid_only", &["inbound {A} - {L} [Unsubscribe] - 1769904100"], 0),
    ("stop_lid_then_number", &["inbound {A} {N} {L} [إيقاف] - 1769904100"], 0),
    ("stop_number_twice", &["inbound {A} {N} - [stop.] - 1769904100"], 0),
    ("stop_number_then_lid", &["inbound {A} {N} {L} [Stop] - 1769904100"], 0),
    ("stop_number_of_sender", &["inbound {A} {N} {L} [STOPALL] - 1769904100"], 0),
    ("stop_in_extended_text", &["inbound {I} {N} - [quit] {O} 1769904100"], 0),
    ("stop_quoting_our_message", &["inbound {I} {N} {L} [cancel] {O} 1769904100"], 0),
    ("stop_lid_quoting_our_message", &["inbound {I} - {L} [cancel] {O} 1769904100"], 0),
    ("stop_in_disappearing_chat", &["inbound {A} {N} - [STOP] - 1769904100"], 0),
    ("stop_by_button", &["inbound {A} {N} - [Unsubscribe|leave] {O} 1769904100"], 0),
    ("stop_by_template_button", &["inbound {A} {N} - [No more of these|stop] - 1769904100"], 0),
    ("stop_by_list", &["inbound {A} {N} - [Stop|row-2] - 1769904100"], 0),
    ("start_with_number", &["inbound AC7711223344556677889900AABBCCEE {N} - [START] - 1769904100"], 0),
    (
        "a_question",
        &["inbound AC7711223344556677889900AABBCCFF {N} - [When do you close today?] - 1769904100"],
        0,
    ),
    ("a_picture", &["inbound AC7711223344556677889900AABBCC11 {N} - [] - 1769904100"], 0),
    ("owner_writes_stop", &[], 0),
    ("group_says_stop", &[], 0),
    ("status_broadcast", &[], 0),
    ("channel_post", &[], 0),
    (
        "batch_of_texts",
        &["inbound AC01 {N} - [START] - 1769904100", "inbound AC02 {N} - [STOP] - 1769904160"],
        1,
    ),
    ("update_pending", &[], 0),
    ("update_server_ack", &["status {O} sent -"], 0),
    ("update_delivery_ack", &["status {O} delivered -"], 0),
    ("update_delivery_ack_device", &["status {O} delivered -"], 0),
    ("update_delivery_ack_lid", &["status {O} delivered {L}"], 0),
    ("update_delivery_ack_bare", &["status {O} delivered -"], 0),
    ("update_read", &["status {O} read -"], 0),
    ("update_played", &["status {O} read -"], 0),
    ("update_error", &["status {O} failed/permanent -"], 0),
    ("update_read_of_theirs", &[], 0),
    ("update_edit_as_deleted", &[], 0),
    ("update_edit_as_server_ack", &[], 0),
    ("update_deleted_of_ours", &[], 0),
    ("update_row_id_is_no_key", &[], 1),
    ("update_by_number", &["status {O} delivered -"], 0),
    ("update_of_an_unknown_word", &[], 1),
    ("batch_of_updates", &["status {O} read -", "status {O} delivered -"], 0),
    ("send_message", &["out {O} {N} - [Your parcel 77-310 is at the counter.]"], 0),
    ("send_message_in_capitals", &["out {O} {N} - [Your parcel 77-310 is at the counter.]"], 0),
    ("delete_of_ours", &[], 0),
    ("delete_of_ours_with_status", &[], 0),
    ("connection_open", &["connection open 200 966533339999"], 0),
    ("connection_connecting", &["connection connecting 200 -"], 0),
    ("connection_logged_out", &["connection close 401 -"], 0),
    ("connection_banned", &["connection close 403 -"], 0),
    ("connection_refused", &["connection close 428 -"], 0),
    ("connection_of_an_unknown_word", &[], 1),
    ("status_instance_closed", &["connection close 401 -"], 0),
    ("logout_instance", &["connection close - -"], 0),
    ("remove_instance", &["connection close - -"], 0),
    ("qrcode_updated", &[], 0),
    ("qrcode_limit", &[], 0),
    ("presence", &[], 1),
];

#[test]
fn every_sample_says_what_it_should() {
    let names = [("{N}", NUMBER), ("{L}", LID), ("{O}", OURS), ("{A}", ANDROID), ("{I}", IPHONE)];
    for (name, expected, ignored) in CASES {
        let full = |line: &&str| {
            names.iter().fold((*line).to_owned(), |line, (short, long)| line.replace(short, long))
        };
        let (updates, left_out) = lines(sample(name).to_string().as_bytes());
        assert_eq!(updates, expected.iter().map(full).collect::<Vec<_>>(), "{name}");
        assert_eq!(left_out, *ignored, "{name}");
    }
    assert_eq!(
        samples().as_object().map(serde_json::Map::len),
        Some(CASES.len()),
        "every sample has its case"
    );
}

#[test]
fn an_event_is_the_same_however_its_name_is_written() {
    for event in ["messages.update", "MESSAGES_UPDATE", "messages-update", "Messages.Update"] {
        let mut body = sample("update_read");
        body["event"] = event.into();
        assert_eq!(lines(body.to_string().as_bytes()).0.len(), 1, "{event}");
    }
}

#[test]
fn statuses_may_be_numbers() {
    for (number, expected) in [(0, Some("failed/permanent")), (1, None), (2, Some("sent"))]
        .into_iter()
        .chain([(3, Some("delivered")), (4, Some("read")), (5, Some("read"))])
    {
        let mut body = sample("update_read");
        body["data"]["status"] = number.into();
        let expected: Vec<String> = expected.iter().map(|word| format!("status {OURS} {word} -")).collect();
        assert_eq!(lines(body.to_string().as_bytes()), (expected, 0), "{number}");
    }
    for wrong in [json!(6), json!(-1), json!(1.5), json!(true), json!([]), Value::Null] {
        let mut body = sample("update_read");
        body["data"]["status"] = wrong.clone();
        assert_eq!(lines(body.to_string().as_bytes()), (vec![], 1), "{wrong}");
    }
}

#[test]
fn a_broken_part_hides_none_of_the_others() {
    // Half an emoji: legal JSON, but no text.
    let body = format!(
        r#"{{"event":"messages.upsert","data":{{"key":{{"remoteJid":"{NUMBER}@s.whatsapp.net","id":"AC1"}},
            "pushName":"\ud83d","message":{{"conversation":"STOP"}},"messageTimestamp":1769904100}},"sender":"\udc00"}}"#
    );
    let expected = format!("inbound AC1 {NUMBER} - [STOP] - 1769904100");
    assert_eq!(lines(body.as_bytes()), (vec![expected], 0));
    for wrong in [Value::Null, json!(7), json!("words"), json!([]), json!([[]]), json!({"messages": 7})] {
        for event in ["messages.upsert", "messages.update", "send.message", "connection.update"] {
            let body = json!({"event": event, "data": wrong}).to_string();
            let (updates, ignored) = lines(body.as_bytes());
            assert!(updates.is_empty() && ignored <= 1, "{event}: {wrong}");
        }
    }
}

#[test]
fn a_missing_time_is_the_time_of_receipt() {
    for (time, expected) in [
        (json!(1_769_904_060), 1_769_904_060),
        (json!("1769904060"), 1_769_904_060),
        (json!({"low": 1_769_904_060, "high": 0, "unsigned": true}), 1_769_904_060),
        (json!({"low": 0, "high": i64::MAX}), RECEIVED),
        (json!("soon"), RECEIVED),
        (json!(i64::MAX), RECEIVED),
        (Value::Null, RECEIVED),
    ] {
        let mut body = sample("stop_number_twice");
        body["data"]["messageTimestamp"] = time.clone();
        let (updates, _) = lines(body.to_string().as_bytes());
        assert_eq!(updates, [format!("inbound {ANDROID} {NUMBER} - [stop.] - {expected}")], "{time}");
    }
}

#[test]
fn digits_alone_are_a_number_unless_the_message_goes_by_lids() {
    for (mode, expected) in [("pn", format!("{NUMBER} -")), ("lid", format!("- {NUMBER}@lid"))] {
        let mut body = sample("stop_number_twice");
        body["data"]["key"] = json!({"remoteJid": NUMBER, "id": "AC1", "addressingMode": mode});
        let (updates, _) = lines(body.to_string().as_bytes());
        assert_eq!(updates, [format!("inbound AC1 {expected} [stop.] - 1769904100")]);
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused_without_being_quoted() {
    for body in
        ["", "966533330007", "\"966533330007\"", "{\"event\":[", "{\"event\":7}", "<html>966533330007"]
    {
        let Err(error) = parse(body.as_bytes(), Timestamp::UNIX_EPOCH) else { panic!("{body} was accepted") };
        assert!(!error.to_string().contains("966533"), "{error}");
    }
    assert_eq!(lines(b"{}"), (vec![], 1));
}

#[test]
fn what_postgres_cannot_store_is_taken_out() {
    let mut body = sample("stop_number_twice");
    body["data"]["message"]["conversation"] = json!("st\0op");
    let expected = format!("inbound {ANDROID} {NUMBER} - [stop] - 1769904100");
    assert_eq!(lines(body.to_string().as_bytes()).0, [expected]);
}
