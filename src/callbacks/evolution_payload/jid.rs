//! WhatsApp's addresses, as Evolution writes them: `966500000001:12@s.whatsapp.net`, `184467440737095@lid`.

use serde_json::Value;

use crate::domain::phone::one_spelling;

/// The most digits a phone number has.
const MOST_DIGITS: usize = 15;

/// The most digits that are read of a LID; the ones there are have fifteen.
const LONGEST_LID: usize = 64;

/// Whom an address names.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Jid {
    /// A person, by their number's digits in our form.
    Phone(String),
    /// A person, by an id that WhatsApp gives them; with its domain.
    Lid(String),
    /// A group, a channel, everybody's status, or nothing we know.
    Other,
}

impl Jid {
    /// Reads an address. Which device of the person's it is does not matter. Digits alone are a number, unless the message
    /// says that it goes by LIDs.
    pub(super) fn read(value: &Value, by_lid: bool) -> Option<Self> {
        let address = value.as_str().filter(|address| !address.is_empty())?;
        let (user, server) = match address.split_once('@') {
            Some((user, server)) => (user, server),
            None if by_lid => (address, "lid"),
            None => (address, "s.whatsapp.net"),
        };
        let user = user.split(':').next().unwrap_or_default();
        if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Other);
        }
        Some(match server {
            "s.whatsapp.net" | "c.us" if user.len() <= MOST_DIGITS => {
                Self::Phone(one_spelling(user).into_owned())
            }
            "lid" | "hosted.lid" if user.len() <= LONGEST_LID => Self::Lid(format!("{user}@lid")),
            _ => Self::Other,
        })
    }
}

/// A person, by the names that a message's key has for them.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Person {
    /// Their number's digits.
    pub(super) phone: Option<String>,
    /// Their LID.
    pub(super) lid: Option<String>,
}

/// The person a key names; `None` where it is not about one person. Every version of Evolution keeps the second name in
/// another place.
pub(super) fn person(key: &Value) -> Option<Person> {
    const PLACES: [&str; 6] =
        ["remoteJid", "remoteJidAlt", "senderPn", "participantAlt", "previousRemoteJid", "senderLid"];
    let by_lid = key["addressingMode"] == "lid";
    if Jid::read(&key["remoteJid"], by_lid).is_none_or(|jid| jid == Jid::Other) {
        return None;
    }
    let mut person = Person::default();
    for jid in PLACES.iter().filter_map(|place| Jid::read(&key[place], by_lid)) {
        match jid {
            Jid::Phone(phone) => person.phone = person.phone.or(Some(phone)),
            Jid::Lid(lid) => person.lid = person.lid.or(Some(lid)),
            Jid::Other => {}
        }
    }
    Some(person)
}
