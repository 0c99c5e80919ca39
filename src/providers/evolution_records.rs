//! Evolution API's record of messages (`chat/findMessages`): what is asked of it, and what is read of its answers.
//!
//! Records are judged again here, whatever was asked for: version 2.3.7 seems to heed no more than the id and the time.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http;
use crate::domain::status::Report;

/// Records on one page: ten of the longest texts stay below what is read of an answer.
const PAGE: u32 = 10;
/// How far the clocks may differ by which we called and the server recorded.
const CLOCKS: SignedDuration = SignedDuration::from_secs(120);
/// How long after it was called a server may still have sent.
const SENDING: SignedDuration = SignedDuration::from_secs(60);

/// A message that a server was asked to send. It has no `Debug`, because it holds a phone number and a text.
pub struct Wanted<'a> {
    /// The id that the message was to have.
    pub proposed_id: &'a str,
    /// E.164 digits.
    pub recipient: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// When the server was called.
    pub called_at: Timestamp,
}

/// A message that a server has on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// WhatsApp's id of it.
    pub provider_message_id: String,
    /// How far it has come: at the least it was sent.
    pub report: Report,
}

/// The request for the message of this id.
pub(super) fn by_id(id: &str) -> Vec<u8> {
    json!({"where": {"key": {"id": id}}, "page": 1, "offset": PAGE}).to_string().into_bytes()
}

/// The request for a page (from 1) of what went out to the recipient at the time of the call, the latest first.
pub(super) fn by_time(wanted: &Wanted<'_>, page: u32) -> Vec<u8> {
    let (from, to) = (wanted.called_at - CLOCKS, wanted.called_at + SENDING + CLOCKS);
    let key = json!({"fromMe": true, "remoteJid": format!("{}@s.whatsapp.net", wanted.recipient)});
    // One end of the time alone is not heeded.
    let time = json!({"gte": from.to_string(), "lte": to.to_string()});
    json!({"where": {"key": key, "messageTimestamp": time}, "page": page, "offset": PAGE})
        .to_string()
        .into_bytes()
}

/// One page of records.
pub(super) struct Page {
    records: Vec<Value>,
    pages: u32,
}

#[derive(Deserialize)]
struct Answer {
    messages: Messages,
}

#[derive(Deserialize)]
struct Messages {
    #[serde(default)]
    pages: u32,
    records: Vec<Value>,
}

impl Page {
    /// Reads an answer; `None` where it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Answer { messages } = serde_json::from_slice(body).ok()?;
        Some(Self { records: messages.records, pages: messages.pages })
    }

    /// Whether nothing comes after this page, which is the `number`-th.
    pub(super) fn is_last(&self, number: u32) -> bool {
        number >= self.pages || self.records.is_empty()
    }

    /// What we sent under this id.
    pub(super) fn with_id(&self, id: &str) -> Option<Found> {
        self.ours().find(|record| record["key"]["id"] == id).and_then(found)
    }

    /// What we sent to that person, of that text, at that time.
    pub(super) fn alike(&self, wanted: &Wanted<'_>) -> Vec<Found> {
        let alike = self.ours().filter(|record| {
            is_to(record, wanted.recipient)
                && text(record) == Some(wanted.text)
                && is_of(record, wanted.called_at)
        });
        alike.filter_map(found).collect()
    }

    fn ours(&self) -> impl Iterator<Item = &Value> {
        self.records.iter().filter(|record| record["key"]["fromMe"] == true)
    }
}

fn is_to(record: &Value, digits: &str) -> bool {
    let names = ["remoteJid", "remoteJidAlt"].into_iter().filter_map(|place| record["key"][place].as_str());
    names
        .filter_map(|name| name.strip_suffix("@s.whatsapp.net"))
        .any(|number| number.split(':').next() == Some(digits))
}

fn text(record: &Value) -> Option<&str> {
    let message = &record["message"];
    message["conversation"].as_str().or_else(|| message["extendedTextMessage"]["text"].as_str())
}

fn is_of(record: &Value, called_at: Timestamp) -> bool {
    let seconds = match &record["messageTimestamp"] {
        Value::String(digits) => digits.parse().ok(),
        number => number.as_i64(),
    };
    let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.is_some_and(|at| (called_at - CLOCKS..=called_at + SENDING + CLOCKS).contains(&at))
}

/// How far the message has come by the updates on record: the furthest counts, and a failure only where there is nothing
/// better.
fn found(record: &Value) -> Option<Found> {
    let provider_message_id = http::message_id(record["key"]["id"].as_str()?)?;
    let statuses: Vec<&str> = record["MessageUpdate"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|update| update["status"].as_str())
        .collect();
    let has = |words: &[&str]| statuses.iter().any(|status| words.contains(status));
    let report = if has(&["READ", "PLAYED"]) {
        Report::Read
    } else if has(&["DELIVERY_ACK"]) {
        Report::Delivered
    } else if has(&["ERROR"]) && !has(&["SERVER_ACK"]) {
        Report::Failed
    } else {
        Report::Sent
    };
    Some(Found { provider_message_id, report })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::{Found, Page, Wanted, by_id, by_time};
    use crate::domain::status::Report;

    const WIRE: &str = include_str!("../../tests/fixtures/evolution/wire.json");
    const ID: &str = "3EB0F1E2D3C4B5A6978801";
    const TEXT: &str = "Your parcel 77-310 is at the counter.";

    fn sample(name: &str) -> Value {
        let mut wire: Value = serde_json::from_str(WIRE).expect("JSON");
        wire[name].take()
    }

    fn wanted(called_at: i64) -> Wanted<'static> {
        let called_at = Timestamp::from_second(called_at).expect("a time");
        Wanted { proposed_id: ID, recipient: "966533330007", text: TEXT, called_at }
    }

    fn page(records: &Value) -> Page {
        let answer = json!({"messages": {"total": 1, "pages": 1, "currentPage": 1, "records": records}});
        Page::read(answer.to_string().as_bytes()).expect("a page")
    }

    #[test]
    fn a_message_is_asked_for_exactly_like_this() {
        let asked: Value = serde_json::from_slice(&by_id(ID)).expect("JSON");
        assert_eq!(asked, sample("find_messages_request"));
        let asked: Value = serde_json::from_slice(&by_time(&wanted(1_769_904_000), 2)).expect("JSON");
        let time = json!({"gte": "2026-01-31T23:58:00Z", "lte": "2026-02-01T00:03:00Z"});
        let key = json!({"fromMe": true, "remoteJid": "966533330007@s.whatsapp.net"});
        assert_eq!(asked, json!({"where": {"key": key, "messageTimestamp": time}, "page": 2, "offset": 10}));
    }

    #[test]
    fn the_sample_is_found_by_its_id_and_by_its_text() {
        let answer = sample("find_messages_response_200").to_string();
        let page = Page::read(answer.as_bytes()).expect("a page");
        let found = Found { provider_message_id: ID.to_owned(), report: Report::Read };
        assert_eq!(page.with_id(ID), Some(found.clone()));
        assert_eq!(page.with_id("3EB0"), None);
        for (called_at, expected) in [
            (1_769_904_040, 1),
            (1_769_904_160, 1),
            (1_769_903_860, 1),
            (1_769_904_161, 0),
            (1_769_903_859, 0),
        ] {
            assert_eq!(page.alike(&wanted(called_at)).len(), expected, "{called_at}");
        }
        assert!(page.is_last(1));
    }

    #[test]
    fn only_what_we_sent_to_that_person_with_that_text_is_it() {
        let record = sample("find_messages_response_200")["messages"]["records"][0].take();
        let alike = |change: &dyn Fn(&mut Value)| {
            let mut record = record.clone();
            change(&mut record);
            page(&json!([record])).alike(&wanted(1_769_904_040)).len()
        };
        assert_eq!(alike(&|_| {}), 1);
        assert_eq!(alike(&|r| r["key"]["fromMe"] = json!(false)), 0);
        assert_eq!(alike(&|r| r["key"]["remoteJid"] = json!("966533330008@s.whatsapp.net")), 0);
        assert_eq!(alike(&|r| r["key"]["remoteJid"] = json!("271828182845904@lid")), 0);
        assert_eq!(alike(&|r| r["key"]["remoteJid"] = json!("966533330007:3@s.whatsapp.net")), 1);
        assert_eq!(
            alike(&|r| {
                r["key"]["remoteJid"] = json!("271828182845904@lid");
                r["key"]["remoteJidAlt"] = json!("966533330007@s.whatsapp.net");
            }),
            1
        );
        assert_eq!(alike(&|r| r["message"] = json!({"conversation": "Another."})), 0);
        assert_eq!(alike(&|r| r["message"] = json!({"extendedTextMessage": {"text": TEXT}})), 1);
        assert_eq!(alike(&|r| r["messageTimestamp"] = json!("1769904040")), 1);
        assert_eq!(alike(&|r| r["messageTimestamp"] = Value::Null), 0);
        assert_eq!(alike(&|r| r["key"]["id"] = json!("")), 0);
    }

    #[test]
    fn the_furthest_update_counts() {
        for (updates, expected) in [
            (json!([]), Report::Sent),
            (Value::Null, Report::Sent),
            (json!([{"status": "PENDING"}]), Report::Sent),
            (json!([{"status": "READ"}, {"status": "DELIVERY_ACK"}]), Report::Read),
            (json!([{"status": "PLAYED"}]), Report::Read),
            (json!([{"status": "DELIVERY_ACK"}, {"status": "ERROR"}]), Report::Delivered),
            (json!([{"status": "ERROR"}]), Report::Failed),
            (json!([{"status": "ERROR"}, {"status": "SERVER_ACK"}]), Report::Sent),
        ] {
            let record = json!({"key": {"id": ID, "fromMe": true}, "MessageUpdate": updates});
            let found = page(&json!([record])).with_id(ID).expect("it is there");
            assert_eq!(found.report, expected, "{updates}");
        }
    }

    #[test]
    fn what_is_no_page_is_none() {
        for body in ["", "<html>", "[]", "{}", r#"{"messages":{}}"#, r#"{"messages":{"records":7}}"#] {
            assert!(Page::read(body.as_bytes()).is_none(), "{body}");
        }
        let empty = Page::read(br#"{"messages":{"total":0,"pages":0,"records":[]}}"#).expect("a page");
        assert!(empty.is_last(1) && empty.with_id(ID).is_none());
    }
}
