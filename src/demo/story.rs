//! What the demo shows: a code and an invoice that are read, an advertisement that is refused, and a recipient who
//! answers STOP and is left alone from then on.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::expected::{Answer, Expected};
use super::receiver::{Receiver, Webhook};
use super::setting::Setting;
use super::{DemoError, say, signature};
use crate::admin::{Admin, AdminError, accounts, api_keys, instances, webhooks};
use crate::domain::account::Plan;
use crate::domain::instance::Provider;
use crate::domain::rate::Rate;
use crate::runtime::clock::Clock;

/// Everything expected comes within this time, or it is missing.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest wait for an answer of the gateway.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const INSTANCE: &str = "demo-shop";
const RATE: Rate = Rate { interval_us: 50_000, burst: 1 };

/// A recipient of the sandbox who reads.
const READER: &str = "+966501230001";
/// Another one.
const OTHER_READER: &str = "+966501230101";
/// A recipient of the sandbox who answers STOP.
const STOPPER: &str = "+966501230050";

/// The body of a send, in the documents' order.
#[derive(Serialize)]
struct Send<'a> {
    instance_id: &'a str,
    phone: &'a str,
    message: &'a str,
    message_purpose: &'a str,
}

const fn send(phone: &'static str, message: &'static str, message_purpose: &'static str) -> Send<'static> {
    Send { instance_id: INSTANCE, phone, message, message_purpose }
}

const CODE: Send<'_> =
    send(READER, "Your verification code is 482913. It expires in 10 minutes.", "authentication");
const INVOICE: Send<'_> =
    send(OTHER_READER, "Your invoice INV-2041 is ready. Please check your customer portal.", "transactional");
const ADVERTISEMENT: Send<'_> =
    send(OTHER_READER, "Everything must go: 50% off this weekend only!", "marketing");
const ORDER: Send<'_> = send(STOPPER, "Your order #2041 has been shipped.", "transactional");
const SECOND_ORDER: Send<'_> = send(STOPPER, "Your order #2042 has been shipped.", "transactional");

/// A customer with an account, and what it has seen so far.
pub struct Story<'a> {
    setting: &'a Setting,
    receiver: Receiver,
    client: reqwest::Client,
    api_key: String,
    webhook_secret: String,
    expected: Expected,
    opted_out: bool,
}

impl<'a> Story<'a> {
    /// Makes the account and all that belongs to it, as an operator would.
    pub async fn begin(setting: &'a Setting, receiver: Receiver) -> Result<Self, DemoError> {
        let admin = Admin::open(setting.admin()).await?;
        let shop = accounts::Create { name: "Demo shop".into(), plan: Plan::Starter, timezone: "UTC".into() };
        let account = accounts::create(&admin, &shop).await?;
        let instance = instances::Create {
            account,
            id: INSTANCE.into(),
            name: "Demo shop".into(),
            provider: Provider::Sandbox,
            base_url: Some(address(&setting.sandbox_url("/v23.0"))?),
            phone_number_id: Some(setting.phone_number_id.clone()),
            provider_instance: None,
            token_env: None,
            rate: Some(RATE),
        };
        instances::create(&admin, &instance).await?;
        let key = api_keys::Create { account, name: "demo".into() };
        let key = api_keys::create(&admin, &key).await?;
        let endpoint = webhooks::Create { account, url: address(&receiver.url())?, events: Vec::new() };
        let endpoint = webhooks::create(&admin, &endpoint).await?;
        say(format_args!("account {account}, instance {INSTANCE}, webhooks to {}", receiver.url()));
        Ok(Self {
            setting,
            receiver,
            client: reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?,
            api_key: key.secret,
            webhook_secret: endpoint.secret,
            expected: Expected::default(),
            opted_out: false,
        })
    }

    /// Sends what does not depend on a webhook.
    pub async fn send_all(&mut self) -> Result<(), DemoError> {
        for (what, body) in [("code", &CODE), ("invoice", &INVOICE)] {
            if let Some(message_id) = self.send(what, body, Answer::Accepted).await? {
                self.expected.until_read(what, &message_id);
            }
        }
        let refused = Answer::Refused(422, "message_purpose_not_allowed");
        self.send("advertisement", &ADVERTISEMENT, refused).await?;
        if self.send("order", &ORDER, Answer::Accepted).await?.is_some() {
            self.expected.until_opted_out("order", STOPPER);
        }
        Ok(())
    }

    /// Prints webhooks as they come. With `once` until all expected ones have come or their time is over, else for
    /// ever.
    pub async fn receive(&mut self, once: bool) -> Result<(), DemoError> {
        let deadline = Instant::now() + LIMIT;
        let mut concluded = false;
        loop {
            if !concluded && (self.expected.is_settled() || Instant::now() >= deadline) {
                concluded = true;
                let outcome = self.conclude();
                if once {
                    return outcome;
                }
                self.invite(outcome);
            }
            tokio::select! {
                webhook = self.receiver.next() => match webhook {
                    Some(webhook) => self.take(&webhook).await?,
                    None => return Err(DemoError::NotReady("the webhook receiver")),
                },
                () = sleep_until(deadline), if !concluded => {}
            }
        }
    }

    fn conclude(&self) -> Result<(), DemoError> {
        let problems = self.expected.problems();
        if problems.is_empty() {
            say("everything expected has come");
            Ok(())
        } else {
            Err(DemoError::Unexpected(problems))
        }
    }

    /// Says what to try next.
    fn invite(&self, outcome: Result<(), DemoError>) {
        if let Err(error) = outcome {
            say(error);
        }
        let body = r#"{"instance_id":"demo-shop","phone":"+966501230001","message":"Your order #2043 has been shipped.","message_purpose":"transactional"}"#;
        say(format_args!(
            "\ntry:\n  curl -i -X POST {} -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{body}'\n\
             the sandbox provider is at {}, what it met: curl {}\nCtrl-C ends everything\n",
            self.setting.gateway_url("/api/send-message"),
            self.api_key,
            self.setting.sandbox_url(""),
            self.setting.sandbox_url("/sandbox/calls"),
        ));
    }

    async fn send(
        &mut self,
        what: &str,
        body: &Send<'_>,
        expected: Answer,
    ) -> Result<Option<String>, DemoError> {
        let body = serde_json::to_string(body).expect("a struct of strings always serialises");
        say(format_args!("\n{what}: POST /api/send-message {body}"));
        let request = self
            .client
            .post(self.setting.gateway_url("/api/send-message"))
            .bearer_auth(&self.api_key)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        say(format_args!("  {status} {text}"));
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(self.expected.answer(what, expected, status, &body))
    }

    async fn take(&mut self, webhook: &Webhook) -> Result<(), DemoError> {
        let now = Clock::system().now().as_second();
        let verified = signature::verifies(&self.webhook_secret, webhook, now);
        let Webhook { id, timestamp, signature, body } = webhook;
        let verdict = if verified { "signature verified" } else { "SIGNATURE NOT VERIFIED" };
        say(format_args!(
            "\nwebhook ({verdict})\n  webhook-id: {id}\n  webhook-timestamp: {timestamp}\n  webhook-signature: {signature}\n  {}",
            String::from_utf8_lossy(body)
        ));
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        self.expected.webhook(&body, verified);
        if body["event"] == "recipient.opted_out" && body["from"] == STOPPER && !self.opted_out {
            self.opted_out = true;
            let refused = Answer::Refused(403, "recipient_suppressed");
            self.send("order after STOP", &SECOND_ORDER, refused).await?;
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<reqwest::Url, DemoError> {
    reqwest::Url::parse(text)
        .map_err(|error| DemoError::Admin(AdminError::Arguments(format!("{text}: {error}"))))
}
