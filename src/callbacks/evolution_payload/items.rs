//! The single items of a callback: one JSON object, one update.

use jiff::Timestamp;
use serde_json::Value;

use super::jid::{Jid, Person, person};
use super::{Read, ReportedStatus, Update};
use crate::callbacks::json::{self, moment, text};
use crate::domain::instance::Connection;
use crate::domain::outcome::{Class, Failure};

/// Reads one kind of item.
pub(super) type ItemReader = fn(&Value, Timestamp) -> Read;

/// Wrappers inside each other beyond this are nobody's message.
const DEEPEST: usize = 4;

/// `messages.update`. Only `keyId` is the id that the send was answered with; `messageId` is a row of Evolution's own.
pub(super) fn status(item: &Value, _: Timestamp) -> Read {
    let key = key_of(item);
    // What is not from us is what we have read, or an edit of theirs.
    if key["fromMe"] != true {
        return Read::OfNoConcern;
    }
    let status = match status_word(item) {
        Some("SERVER_ACK") => ReportedStatus::Sent,
        Some("DELIVERY_ACK") => ReportedStatus::Delivered,
        Some("READ" | "PLAYED") => ReportedStatus::Read,
        Some("ERROR") => ReportedStatus::Failed(Failure::new(
            Class::Permanent,
            "evolution reports that WhatsApp did not take the message",
        )),
        Some("PENDING" | "DELETED" | "EDITED") => return Read::OfNoConcern,
        _ => return Read::Unreadable,
    };
    let id = if key["keyId"].is_null() { &key["id"] } else { &key["keyId"] };
    let Some(provider_message_id) = json::id(id) else { return Read::Unreadable };
    let lid = person(key).and_then(|person| person.lid);
    Read::Is(Update::Status { provider_message_id, status, lid })
}

/// Whether only WhatsApp can have been the cause of it: what somebody else wrote, and the acknowledgement of a message of
/// ours. That WhatsApp did not take a message says nothing good.
pub(super) fn is_from_whatsapp(event: &str, item: &Value) -> bool {
    match event {
        "messages.upsert" => item["key"]["fromMe"] == false,
        "messages.update" => {
            key_of(item)["fromMe"] == true
                && matches!(status_word(item), Some("SERVER_ACK" | "DELIVERY_ACK" | "READ" | "PLAYED"))
        }
        _ => false,
    }
}

/// Where a report of a message names it: in a part of its own, or beside the status.
fn key_of(item: &Value) -> &Value {
    if item["key"].is_object() { &item["key"] } else { item }
}

fn status_word(item: &Value) -> Option<&str> {
    let word = if item["status"].is_null() { &item["update"]["status"] } else { &item["status"] };
    word.as_str().map_or_else(|| numbered(word), Some)
}

/// The words of the numbers that Evolution's library has for statuses.
fn numbered(value: &Value) -> Option<&'static str> {
    const WORDS: [&str; 6] = ["ERROR", "PENDING", "SERVER_ACK", "DELIVERY_ACK", "READ", "PLAYED"];
    WORDS.get(usize::try_from(value.as_u64()?).ok()?).copied()
}

/// `send.message`: what was sent through the instance has left, whoever asked for it.
pub(super) fn went_out(item: &Value, _: Timestamp) -> Read {
    let key = &item["key"];
    let Some(provider_message_id) = json::id(&key["id"]) else { return Read::Unreadable };
    let Some(Person { phone: to, lid }) = person(key) else { return Read::OfNoConcern };
    let text = texts(&item["message"]).into_iter().next();
    Read::Is(Update::WentOut { provider_message_id, to, lid, text })
}

/// `messages.upsert`: somebody wrote, or tapped something.
pub(super) fn message(item: &Value, received_at: Timestamp) -> Read {
    let key = &item["key"];
    // The owner's own phone, and what is said to many at once.
    if key["fromMe"] == true {
        return Read::OfNoConcern;
    }
    let Some(provider_message_id) = json::id(&key["id"]) else { return Read::Unreadable };
    let Some(Person { phone, lid }) = person(key) else {
        return if key["remoteJid"].is_string() { Read::OfNoConcern } else { Read::Unreadable };
    };
    let message = unwrapped(&item["message"]);
    Read::Is(Update::Inbound {
        provider_message_id,
        from: phone,
        lid,
        texts: texts(message),
        replied_to: replied_to(item, message),
        at: time(&item["messageTimestamp"], received_at).unwrap_or(received_at),
    })
}

/// The message inside those that only say how it is shown.
fn unwrapped(message: &Value) -> &Value {
    const WRAPPERS: [&str; 4] =
        ["ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "documentWithCaptionMessage"];
    let mut inner = message;
    for _ in 0..DEEPEST {
        match WRAPPERS.iter().map(|wrapper| &inner[wrapper]["message"]).find(|found| found.is_object()) {
            Some(found) => inner = found,
            None => break,
        }
    }
    inner
}

fn texts(message: &Value) -> Vec<String> {
    /// Where the different kinds of message keep what a person wrote or tapped.
    const TEXTS: [&str; 9] = [
        "/conversation",
        "/extendedTextMessage/text",
        "/buttonsResponseMessage/selectedDisplayText",
        "/buttonsResponseMessage/selectedButtonId",
        "/templateButtonReplyMessage/selectedDisplayText",
        "/templateButtonReplyMessage/selectedId",
        "/listResponseMessage/title",
        "/listResponseMessage/singleSelectReply/selectedRowId",
        "/interactiveResponseMessage/body/text",
    ];
    TEXTS.iter().filter_map(|place| text(message.pointer(place)?)).collect()
}

/// The message that this one quotes: named beside it, or inside whatever kind it is of.
fn replied_to(item: &Value, message: &Value) -> Option<String> {
    let inside = message.as_object().into_iter().flat_map(|kinds| kinds.values());
    std::iter::once(item).chain(inside).find_map(|place| json::id(place.get("contextInfo")?.get("stanzaId")?))
}

/// Unix seconds, as a number, as a string, or in the two halves of a long one.
fn time(value: &Value, received_at: Timestamp) -> Option<Timestamp> {
    let seconds = match value {
        Value::String(digits) => digits.parse().ok(),
        Value::Object(halves) => {
            let (low, high) = (halves.get("low")?.as_i64()?, halves.get("high")?.as_i64()?);
            high.checked_mul(1 << 32).map(|high| high | (low & 0xffff_ffff))
        }
        other => other.as_i64(),
    };
    moment(seconds?, received_at)
}

/// `connection.update`.
pub(super) fn connection(item: &Value, _: Timestamp) -> Read {
    let state = match item["state"].as_str() {
        Some("open") => Connection::Open,
        Some("connecting") => Connection::Connecting,
        // Refused: nobody paired it in time.
        Some("close" | "refused") => Connection::Close,
        _ => return Read::Unreadable,
    };
    let number = match Jid::read(&item["wuid"], false) {
        Some(Jid::Phone(number)) if state == Connection::Open => Some(number),
        _ => None,
    };
    Read::Is(Update::Connection { state, code: item["statusReason"].as_i64(), number })
}

/// `status.instance`: comes before the last `close` of a session, or after it.
pub(super) fn session_state(item: &Value, _: Timestamp) -> Read {
    match item["status"].as_str() {
        Some("closed") => {
            let code = item["disconnectionReasonCode"].as_i64();
            Read::Is(Update::Connection { state: Connection::Close, code, number: None })
        }
        _ => Read::Unreadable,
    }
}
