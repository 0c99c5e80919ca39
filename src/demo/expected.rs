//! What the demo must see before it has shown what it is meant to show.

use serde_json::Value;

/// The answer a request should get.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// 202 with a message id.
    Accepted,
    /// This status with this error code.
    Refused(u16, &'static str),
}

/// One webhook that has not come yet.
#[derive(Debug)]
struct Awaited {
    what: String,
    event: &'static str,
    status: Option<&'static str>,
    /// The member that says what it is about, and its value.
    about: (&'static str, String),
}

/// What has not come yet, and what came wrong.
#[derive(Debug, Default)]
pub struct Expected {
    awaited: Vec<Awaited>,
    wrong: Vec<String>,
}

impl Expected {
    /// Checks an answer. An accepted message's id, where that was expected.
    pub fn answer(&mut self, what: &str, expected: Answer, status: u16, body: &Value) -> Option<String> {
        let error = body["error"].as_str();
        let message_id = body["message_id"].as_str().map(str::to_owned);
        match expected {
            Answer::Accepted if status == 202 && message_id.is_some() => return message_id,
            Answer::Refused(wanted, code) if status == wanted && error == Some(code) => return None,
            Answer::Accepted => {
                self.wrong.push(format!("{what}: expected 202, got {status} {}", error.unwrap_or_default()));
            }
            Answer::Refused(wanted, code) => {
                let got = error.unwrap_or_default();
                self.wrong.push(format!("{what}: expected {wanted} {code}, got {status} {got}"));
            }
        }
        None
    }

    /// The message is to be delivered and read.
    pub fn until_read(&mut self, what: &str, message_id: &str) {
        for (event, status) in
            [("message.status_updated", Some("read")), ("message.delivered", None), ("message.read", None)]
        {
            let about = ("message_id", message_id.to_owned());
            self.awaited.push(Awaited { what: what.to_owned(), event, status, about });
        }
    }

    /// The recipient is to opt out.
    pub fn until_opted_out(&mut self, what: &str, phone: &str) {
        let about = ("from", phone.to_owned());
        self.awaited.push(Awaited {
            what: what.to_owned(),
            event: "recipient.opted_out",
            status: None,
            about,
        });
    }

    /// Takes a webhook that came; one whose signature does not verify counts for nothing but as wrong.
    pub fn webhook(&mut self, body: &Value, verified: bool) {
        if !verified {
            self.wrong.push("a webhook's signature did not verify".to_owned());
            return;
        }
        self.awaited.retain(|awaited| {
            let (member, value) = &awaited.about;
            let came = body["event"] == awaited.event
                && body[*member] == value.as_str()
                && awaited.status.is_none_or(|status| body["status"] == status);
            !came
        });
    }

    /// Whether nothing more is to come, be it right or wrong.
    pub fn is_settled(&self) -> bool {
        self.awaited.is_empty()
    }

    /// What came wrong and what has not come.
    pub fn problems(&self) -> Vec<String> {
        let missing = self.awaited.iter().map(|Awaited { what, event, status, .. }| match status {
            Some(status) => format!("{what}: no webhook {event} with status {status}"),
            None => format!("{what}: no webhook {event}"),
        });
        self.wrong.iter().cloned().chain(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, Expected};

    #[test]
    fn a_message_has_three_webhooks_in_any_order() {
        let mut expected = Expected::default();
        expected.until_read("code", "m1");
        let webhooks = [
            json!({"event": "message.read", "message_id": "m1"}),
            json!({"event": "message.status_updated", "message_id": "m1", "status": "read"}),
            json!({"event": "message.status_updated", "message_id": "m1", "status": "read"}),
            json!({"event": "message.delivered", "message_id": "m1"}),
        ];
        for webhook in webhooks {
            assert!(!expected.is_settled());
            expected.webhook(&webhook, true);
        }
        assert!(expected.is_settled() && expected.problems().is_empty());
    }

    #[test]
    fn what_is_missing_is_listed() {
        let mut expected = Expected::default();
        expected.until_read("code", "m1");
        expected.until_opted_out("order", "+966501230050");
        let others = [
            json!({"event": "message.read", "message_id": "m2"}),
            json!({"event": "message.status_updated", "message_id": "m1", "status": "sent"}),
            json!({"event": "message.delivered", "message_id": "m1"}),
            json!({"event": "recipient.opted_out", "from": "+966501230051"}),
            json!({}),
        ];
        for webhook in others {
            expected.webhook(&webhook, true);
        }
        assert_eq!(
            expected.problems(),
            [
                "code: no webhook message.status_updated with status read",
                "code: no webhook message.read",
                "order: no webhook recipient.opted_out",
            ]
        );
    }

    #[test]
    fn a_webhook_that_does_not_verify_is_wrong_and_counts_for_nothing() {
        let mut expected = Expected::default();
        expected.until_opted_out("order", "+1");
        expected.webhook(&json!({"event": "recipient.opted_out", "from": "+1"}), false);
        assert!(!expected.is_settled());
        assert_eq!(expected.problems().len(), 2);
    }

    #[test]
    fn answers_are_compared_with_what_was_expected() {
        let mut expected = Expected::default();
        let accepted = json!({"success": true, "message_id": "m1"});
        let refused = json!({"success": false, "error": "recipient_suppressed"});
        let suppressed = Answer::Refused(403, "recipient_suppressed");
        assert_eq!(expected.answer("a", Answer::Accepted, 202, &accepted).as_deref(), Some("m1"));
        assert_eq!(expected.answer("b", suppressed, 403, &refused), None);
        assert!(expected.problems().is_empty());

        assert_eq!(expected.answer("c", suppressed, 202, &accepted), None);
        assert_eq!(expected.answer("d", Answer::Accepted, 403, &refused), None);
        assert_eq!(expected.answer("e", Answer::Accepted, 202, &json!({})), None);
        assert_eq!(
            expected.problems(),
            [
                "c: expected 403 recipient_suppressed, got 202 ",
                "d: expected 202, got 403 recipient_suppressed",
                "e: expected 202, got 202 ",
            ]
        );
    }
}
