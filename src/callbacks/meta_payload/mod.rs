//! What a callback of Meta's says: the body of one POST, taken apart into updates.
//!
//! One POST may carry hundreds of updates of several senders. Each is read for itself, so that one that is broken, or
//! of a kind we do not know, costs none of the others. Pure: the signature was checked before, and storing is
//! somebody else's.

mod account;
mod items;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use self::account::AccountNews;
use self::items::{Context, ItemReader};
use super::ReportedStatus;
use crate::domain::outcome::Failure;

/// One thing that Meta reports. It has no `Debug`, because it holds phone numbers and texts.
#[derive(Clone, Eq, PartialEq)]
pub enum Update {
    /// How a message that we sent fares.
    Status {
        /// The sender, by Meta's id.
        phone_number_id: String,
        /// The id that Meta gave the message when it was accepted.
        provider_message_id: String,
        /// What happened.
        status: ReportedStatus,
        /// When Meta reported it.
        at: Timestamp,
        /// Meta's id of the recipient for this business, where it gives one.
        user_id: Option<String>,
        /// Our own mark of the attempt; Meta may leave it out.
        opaque: Option<String>,
    },
    /// A person wrote to the sender, tapped a button or sent something else.
    Inbound {
        /// The sender who was written to, by Meta's id.
        phone_number_id: String,
        /// The id of the inbound message, for deduplication.
        provider_message_id: String,
        /// The person's number, digits only. From 2026 on it may be missing.
        from: Option<String>,
        /// Meta's id of the person for this business, where it gives one.
        user_id: Option<String>,
        /// Everything that may be an opt-out word: the text, a tapped button's label and payload, a reply's id
        /// and title. Empty for other kinds of message.
        texts: Vec<String>,
        /// Our message that this one answers.
        replied_to: Option<String>,
        /// When it was written.
        at: Timestamp,
    },
    /// A person changed, in WhatsApp's own settings, whether marketing messages are welcome.
    Preference {
        /// The sender, by Meta's id.
        phone_number_id: String,
        /// The person's number, digits only.
        wa_id: Option<String>,
        /// Meta's id of the person for this business, where it gives one.
        user_id: Option<String>,
        /// Stop, or resume. A resume is no consent to anything but marketing.
        stop: bool,
        /// When it was changed.
        at: Timestamp,
    },
    /// A person took a new number; what holds for the old one (an opt-out) holds for the new one too.
    NumberChanged {
        /// The sender, by Meta's id.
        phone_number_id: String,
        /// The id of the notice, for deduplication.
        provider_message_id: String,
        /// The number until now, digits only.
        old: String,
        /// The number from now on, digits only.
        new: String,
        /// When it was changed.
        at: Timestamp,
    },
    /// An error that concerns the sender rather than one message.
    SenderError {
        /// The sender, by Meta's id.
        phone_number_id: String,
        /// What it means for the sender.
        failure: Failure,
    },
    /// What became of a business account, whose numbers are not named.
    Account {
        /// Meta's id of it.
        business_account_id: String,
        /// What happened.
        news: AccountNews,
        /// In Meta's own words.
        words: String,
    },
    /// News of an account, a number or a template that change nothing here.
    News {
        /// Meta's id of the business account.
        business_account_id: String,
        /// The kind, as Meta names it.
        field: String,
        /// In Meta's own words.
        words: String,
    },
}

impl Update {
    /// The sender it speaks of, by Meta's id; `None`: it speaks of a business account.
    #[must_use]
    pub fn phone_number_id(&self) -> Option<&str> {
        match self {
            Self::Status { phone_number_id, .. }
            | Self::Inbound { phone_number_id, .. }
            | Self::Preference { phone_number_id, .. }
            | Self::NumberChanged { phone_number_id, .. }
            | Self::SenderError { phone_number_id, .. } => Some(phone_number_id),
            Self::Account { .. } | Self::News { .. } => None,
        }
    }
}

/// The updates of one POST.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Payload {
    /// What it says, in its order.
    pub updates: Vec<Update>,
    /// The business accounts and the numbers of whose messages it speaks, by Meta's ids; none twice.
    pub told: Vec<(String, String)>,
    /// Parts that were left out, because they are broken or of a kind we do not know.
    pub ignored: usize,
}

/// The body of a callback is not a JSON object.
#[derive(Debug, thiserror::Error)]
#[error("the callback's body is not a JSON object (line {line}, column {column})")]
pub struct NotAnObject {
    line: usize,
    column: usize,
}

/// Takes a callback's body apart. `received_at` stands in for a time that is missing or unreadable.
///
/// # Errors
///
/// [`NotAnObject`], when the body as a whole is not a JSON object. It never quotes the body.
pub fn parse(body: &[u8], received_at: Timestamp) -> Result<Payload, NotAnObject> {
    let envelope: Envelope<'_> = serde_json::from_slice(body)
        .map_err(|error| NotAnObject { line: error.line(), column: error.column() })?;
    let mut payload = Payload::default();
    for entry in payload.list(envelope.entry) {
        let Some(entry) = payload.read::<Entry<'_>>(entry) else { continue };
        let account = entry.id.and_then(|id| payload.read::<Value>(id));
        let account = account.as_ref().and_then(Value::as_str).filter(|id| is_an_id(id));
        for change in payload.list(entry.changes) {
            let Some(change) = payload.read::<Change<'_>>(change) else { continue };
            if let Some(value) = change.value {
                payload.change(account, &change.field, value, received_at);
            }
        }
    }
    Ok(payload)
}

// Every level is cut out of the one above as raw text and read for itself, so that what is wrong inside one part
// (even half an emoji, which no `String` can hold) stays in that part.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    changes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    field: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChangeValue<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow)]
    statuses: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    user_preferences: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

impl Payload {
    /// The elements of a list; none when there is no list, or something else in its place.
    fn list<'a>(&mut self, raw: Option<&'a RawValue>) -> Vec<&'a RawValue> {
        raw.and_then(|raw| self.read(raw)).unwrap_or_default()
    }

    /// One part of the body; `None`, and counted, when it is not what it should be.
    fn read<'a, T: Deserialize<'a>>(&mut self, raw: &'a RawValue) -> Option<T> {
        let part = serde_json::from_str(raw.get()).ok();
        self.ignored += usize::from(part.is_none());
        part
    }

    /// Adds what one change says; fields that are not known are none of ours.
    fn change(&mut self, account: Option<&str>, field: &str, value: &RawValue, received_at: Timestamp) {
        match field {
            "messages" | "user_preferences" => {
                if let Some(value) = self.read::<ChangeValue<'_>>(value) {
                    let number = self.add(&value, received_at);
                    if let ("messages", Some(account), Some(number)) = (field, account, number) {
                        let told = (account.to_owned(), number);
                        if !self.told.contains(&told) {
                            self.told.push(told);
                        }
                    }
                }
            }
            "account_update"
            | "account_alerts"
            | "business_capability_update"
            | "message_template_status_update"
            | "phone_number_quality_update" => {
                if let (Some(account), Some(value)) = (account, self.read::<Value>(value)) {
                    self.updates.push(account_update(account, field, &value));
                }
            }
            _ => {}
        }
    }

    /// Adds the updates about one sender's messages; gives its id.
    fn add(&mut self, value: &ChangeValue<'_>, received_at: Timestamp) -> Option<String> {
        let metadata: Value = value.metadata.and_then(|raw| self.read(raw)).unwrap_or_default();
        let phone_number_id = metadata["phone_number_id"].as_str();
        let contacts = self.list(value.contacts);
        let contacts = contacts.into_iter().filter_map(|contact| self.read(contact)).collect();
        let context = phone_number_id.map(|id| Context::new(id, contacts, received_at));
        let kinds: [(_, ItemReader); 4] = [
            (value.statuses, items::status),
            (value.messages, items::message),
            (value.user_preferences, items::preference),
            (value.errors, items::sender_error),
        ];
        for (items, update) in kinds {
            for item in self.list(items) {
                let Some(item) = self.read(item) else { continue };
                match context.as_ref().and_then(|context| update(context, &item)) {
                    Some(update) => self.updates.push(update),
                    None => self.ignored += 1,
                }
            }
        }
        phone_number_id.map(str::to_owned)
    }
}

fn account_update(account: &str, field: &str, value: &Value) -> Update {
    let (business_account_id, words) = (account.to_owned(), account::words(value));
    match field {
        "account_update" => {
            Update::Account { business_account_id, news: account::account_news(value), words }
        }
        _ => Update::News { business_account_id, field: field.to_owned(), words },
    }
}

/// Whether it looks like an id of Meta's.
fn is_an_id(id: &str) -> bool {
    (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}
