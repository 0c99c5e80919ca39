//! Names of rows as they travel through queues and callbacks: always with the account they belong to.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A message of an account, written `account/message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// The tenant.
    pub account_id: i64,
    /// Unique within the account, ordered by time of acceptance.
    pub message_id: Uuid,
}

/// One event owed to one webhook endpoint, written `account/event/endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey {
    /// The tenant.
    pub account_id: i64,
    /// What happened.
    pub event_id: Uuid,
    /// Who is to be told.
    pub endpoint_id: Uuid,
}

/// The text is not an id of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account_id, self.message_id)
    }
}

impl FromStr for MessageKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (account, message) = text.split_once('/').ok_or(InvalidId)?;
        Ok(Self {
            account_id: account.parse().map_err(|_| InvalidId)?,
            message_id: message.parse().map_err(|_| InvalidId)?,
        })
    }
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account_id, self.event_id, self.endpoint_id)
    }
}

impl FromStr for DeliveryKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (event, endpoint) = text.rsplit_once('/').ok_or(InvalidId)?;
        let MessageKey { account_id, message_id: event_id } = event.parse()?;
        Ok(Self { account_id, event_id, endpoint_id: endpoint.parse().map_err(|_| InvalidId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveryKey, MessageKey};
    use uuid::Uuid;

    #[test]
    fn keys_survive_being_written_and_read() {
        let message = MessageKey { account_id: 7, message_id: Uuid::from_u128(9) };
        assert_eq!(message.to_string().parse(), Ok(message));
        let delivery =
            DeliveryKey { account_id: 7, event_id: Uuid::from_u128(1), endpoint_id: Uuid::from_u128(2) };
        assert_eq!(delivery.to_string().parse(), Ok(delivery));
    }

    #[test]
    fn other_texts_are_not_keys() {
        for text in ["", "7", "7/", "/7", "7/x", "x/00000000-0000-0000-0000-000000000009"] {
            assert!(text.parse::<MessageKey>().is_err(), "{text}");
            assert!(text.parse::<DeliveryKey>().is_err(), "{text}");
        }
    }
}
