use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::body;
use crate::sandbox::callbacks::signature::vector::{SIGNED_BODY, SIGNED_ID};
use crate::sandbox::callbacks::{Message, Pending, Subject};
use crate::sandbox::recipients::Script;

const SENDER: &str = "109876543210987";

fn message(sender: &str, ending: &str) -> Pending {
    let message = Message {
        id: "wamid.A".into(),
        opaque: Some("note".into()),
        accepted_at: Timestamp::from_second(1_767_225_600).expect("in range"),
        reports: Script::of(ending).reports,
    };
    Pending { sender: sender.into(), number: "966500000001".into(), subject: Subject::Message(message) }
}

fn written(text: &str) -> Pending {
    Pending { sender: SENDER.into(), number: "966500000001".into(), subject: Subject::Text(text.into()) }
}

fn envelope(batch: &[Pending]) -> String {
    let now = Timestamp::from_second(1_767_225_721).expect("in range");
    body(batch, now, Duration::from_secs(2)).expect("plain fields")
}

#[test]
fn an_inbound_text_looks_like_metas_byte_for_byte() {
    let body = envelope(&[written("إيقاف")]);
    let id = body.split('"').find(|part| part.starts_with("wamid.")).expect("an id");
    assert_eq!(id.len(), SIGNED_ID.len());
    assert_eq!(body.replace(id, SIGNED_ID), SIGNED_BODY);
}

#[test]
fn statuses_look_like_metas() {
    let expected = [
        (
            "0001",
            json!({"id": "wamid.A", "status": "sent", "timestamp": "1767225602",
                "recipient_id": "966500000001", "biz_opaque_callback_data": "note"}),
        ),
        (
            "0004",
            json!({"id": "wamid.A", "status": "failed", "timestamp": "1767225604",
                "recipient_id": "966500000001", "biz_opaque_callback_data": "note",
                "errors": [{"code": 131_026, "title": "Message undeliverable",
                    "message": "Message undeliverable",
                    "error_data": {"details": "Message Undeliverable."},
                    "href": "/documentation/business-messaging/whatsapp/support/error-codes"}]}),
        ),
    ];
    for (ending, status) in expected {
        let body: Value = serde_json::from_str(&envelope(&[message(SENDER, ending)])).expect("JSON");
        assert_eq!(
            body,
            json!({"object": "whatsapp_business_account", "entry": [{"id": "201234567890123", "changes": [{
                "value": {
                    "messaging_product": "whatsapp",
                    "metadata": {"display_phone_number": "966550009999", "phone_number_id": SENDER},
                    "statuses": [status],
                },
                "field": "messages",
            }]}]})
        );
    }
}

#[test]
fn neighbours_of_one_sender_and_kind_share_a_change() {
    let batch = [
        message("1", "0001"),
        message("1", "0002"),
        written("STOP"),
        message(SENDER, "0001"),
        message("2", "0001"),
    ];
    let body: Value = serde_json::from_str(&envelope(&batch)).expect("JSON");
    let changes = body["entry"][0]["changes"].as_array().expect("changes");
    let sizes: Vec<(&Value, usize, usize)> = changes
        .iter()
        .map(|change| &change["value"])
        .map(|value| {
            let size = |list: &str| value[list].as_array().map_or(0, Vec::len);
            (&value["metadata"]["phone_number_id"], size("statuses"), size("messages"))
        })
        .collect();
    let (one, two, sender) = (json!("1"), json!("2"), json!(SENDER));
    assert_eq!(sizes, [(&one, 2, 0), (&sender, 0, 1), (&sender, 1, 0), (&two, 1, 0)]);
}
