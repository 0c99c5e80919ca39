//! What a callback of Evolution's says: the body of one POST, taken apart into updates.
//!
//! One POST is one event, mostly of one item; some versions send several at once. Each is read for itself, so that one
//! that is broken costs none of the others. Pure: the token was checked before, and storing is somebody else's.
//!
//! The body also names the instance and may carry its key. Neither is trusted: the address that was called says whose it
//! is.

mod items;
mod jid;
mod keeping;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::items::ItemReader;
pub use self::keeping::worth_keeping;
use super::ReportedStatus;
use crate::domain::instance::Connection;

/// One thing that Evolution reports. It has no `Debug`, because it holds phone numbers and texts.
#[derive(Clone, Eq, PartialEq)]
pub enum Update {
    /// How a message that was sent fares. It has no time.
    Status {
        /// WhatsApp's id of it, with which the send was answered.
        provider_message_id: String,
        /// What happened.
        status: ReportedStatus,
        /// WhatsApp's id of the recipient (LID), where it names them so.
        lid: Option<String>,
    },
    /// A message went out through the instance, whoever asked for it.
    WentOut {
        /// WhatsApp's id of it.
        provider_message_id: String,
        /// The recipient's number, digits only.
        to: Option<String>,
        /// WhatsApp's id of the recipient (LID), where it names them so.
        lid: Option<String>,
        /// The text, where it is one.
        text: Option<String>,
    },
    /// A person wrote to the instance, tapped a button or sent something else.
    Inbound {
        /// The id of the inbound message, for deduplication.
        provider_message_id: String,
        /// The person's number, digits only; missing where WhatsApp hides it.
        from: Option<String>,
        /// WhatsApp's id of the person (LID), where it is told.
        lid: Option<String>,
        /// Everything that may be an opt-out word: the text, a tapped button's label and id, a chosen row's title and id.
        /// Empty for other kinds of message.
        texts: Vec<String>,
        /// The message that this one quotes.
        replied_to: Option<String>,
        /// When it was written.
        at: Timestamp,
    },
    /// The instance's connection to WhatsApp changed.
    Connection {
        /// What it is now.
        state: Connection,
        /// Why, in the numbers of Evolution's library.
        code: Option<i64>,
        /// The number it is connected with, digits only.
        number: Option<String>,
    },
}

/// The updates of one POST.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Payload {
    /// What it says, in its order.
    pub updates: Vec<Update>,
    /// Parts that were left out, because they are broken or of a kind we do not know.
    pub ignored: usize,
    /// Whether it came from WhatsApp: somebody wrote, or a message was acknowledged. The server's own doings do not show
    /// that it is in touch.
    pub in_touch: bool,
}

/// What an item comes to.
enum Read {
    /// An update.
    Is(Update),
    /// It is well understood, and nothing follows from it.
    OfNoConcern,
    /// It is broken, or of a kind we do not know.
    Unreadable,
}

/// The body of a callback is not a JSON object.
#[derive(Debug, thiserror::Error)]
#[error("the callback's body is not a JSON object (line {line}, column {column})")]
pub struct NotAnObject {
    line: usize,
    column: usize,
}

// What is wrong inside one part (even half an emoji, which no `String` can hold) stays in that part, so every level is
// cut out of the one above as raw text and read for itself.
#[derive(Deserialize)]
struct Envelope<'a> {
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Takes a callback's body apart. `received_at` stands in for a time that is missing or unreadable.
///
/// # Errors
///
/// [`NotAnObject`], when the body as a whole is not a JSON object with a readable name of an event. It never quotes the
/// body.
pub fn parse(body: &[u8], received_at: Timestamp) -> Result<Payload, NotAnObject> {
    let envelope: Envelope<'_> = serde_json::from_slice(body)
        .map_err(|error| NotAnObject { line: error.line(), column: error.column() })?;
    let mut payload = Payload::default();
    let event = event_name(&envelope.event.unwrap_or_default());
    let reader: ItemReader = match event.as_str() {
        "messages.upsert" => items::message,
        "messages.update" => items::status,
        "send.message" => items::went_out,
        "connection.update" => items::connection,
        "status.instance" => items::session_state,
        "logout.instance" | "remove.instance" => {
            payload.updates.push(Update::Connection { state: Connection::Close, code: None, number: None });
            return Ok(payload);
        }
        // What was sent stays sent, an edited word is no new one, and pairing is between the operator and Evolution.
        "messages.delete" | "messages.edited" | "qrcode.updated" => return Ok(payload),
        _ => {
            payload.ignored = 1;
            return Ok(payload);
        }
    };
    let items = items_in(envelope.data);
    payload.ignored += usize::from(items.is_empty());
    for item in items {
        let item = object(item);
        payload.in_touch |= item.as_ref().is_some_and(|item| items::is_from_whatsapp(&event, item));
        match item.map_or(Read::Unreadable, |item| reader(&item, received_at)) {
            Read::Is(update) => payload.updates.push(update),
            Read::OfNoConcern => {}
            Read::Unreadable => payload.ignored += 1,
        }
    }
    Ok(payload)
}

/// `MESSAGES_UPSERT`, `messages-upsert` and `messages.upsert` are one event.
fn event_name(event: &str) -> String {
    event.to_lowercase().replace(['_', '-'], ".")
}

/// One item, a list of them, or a list under the name `messages`.
fn items_in(data: Option<&RawValue>) -> Vec<&RawValue> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        messages: Vec<&'a RawValue>,
    }
    let Some(data) = data else { return Vec::new() };
    let list = serde_json::from_str::<Vec<&RawValue>>(data.get())
        .or_else(|_| serde_json::from_str::<Wrapped<'_>>(data.get()).map(|wrapped| wrapped.messages));
    list.unwrap_or_else(|_| vec![data])
}

/// An object with those of its fields that can be read: somebody's broken name must not hide what they wrote.
fn object(raw: &RawValue) -> Option<Value> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).ok()?;
    let read = |(name, raw): (String, &RawValue)| Some((name, serde_json::from_str(raw.get()).ok()?));
    Some(Value::Object(fields.into_iter().filter_map(read).collect()))
}
