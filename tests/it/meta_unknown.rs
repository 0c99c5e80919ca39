//! Sends to Meta whose outcome nobody knows: nothing is sent twice, and nothing stays unknown for ever.

use std::time::Duration;

use serde_json::json;

use crate::support::eventually;
use crate::support::meta;
use crate::support::meta_stage::MetaStage as Scene;
use crate::support::provider::{Provider, Reply};
use crate::support::rows::{count, life};
use crate::support::services::Services;
use crate::support::within;

/// Everything at work with little patience: a call has a second, an unknown outcome four.
async fn scene(services: &Services) -> Scene {
    Scene::with(services, &[("GATEPOST_PROVIDER_TIMEOUT_MS", 1_000), ("GATEPOST_UNKNOWN_DEADLINE_MS", 4_000)])
        .await
}

impl Scene {
    /// Sends a message whose outcome becomes unknown.
    async fn unknown(&self, phone: &str) -> String {
        let message = self.customer.accepted(phone).await;
        self.world.wait_for_status(&message, &["unknown"]).await;
        message
    }

    /// Meta reports on a message, by our mark on its first call.
    async fn report(&self, message: &str, id: &str, word: &str) {
        let mark = format!("{}/{message}:1", self.customer.account);
        self.world.report(&self.database, &meta::status(&self.customer, id, word, Some(&mark))).await;
    }

    /// Waits until the deadline of everything that is unknown has passed.
    async fn deadline(&self) {
        within(Duration::from_secs(20), "nothing stays unknown", async || {
            (count(&self.database, "select count(*) from messages where status = 'unknown'").await == 0)
                .then_some(())
        })
        .await;
    }

    /// The statuses that were told of a message.
    async fn told(&self, message: &str, expected: &[&str]) {
        eventually(&format!("{expected:?} are told"), async || {
            let told: Vec<String> =
                self.receiver.rises(message).into_iter().map(|(_, status)| status).collect();
            (told == expected).then_some(())
        })
        .await;
    }
}

/// A provider that answers after the worker gave up: the answer is nobody's any more, the report by our mark is believed,
/// and the provider's id in it settles the reports that follow without a mark.
pub async fn an_answer_that_comes_too_late_is_no_second_send(services: &Services) {
    let scene = scene(services).await;
    scene.provider.hold(true);
    let message = scene.unknown("+966500060001").await;
    scene.provider.hold(false);
    scene.report(&message, &Provider::id(0), "sent").await;
    let delivered = meta::status(&scene.customer, &Provider::id(0), "delivered", None);
    scene.world.report(&scene.database, &delivered).await;
    scene.deadline().await;
    assert_eq!(life(&scene.database, &message).await, "queued sending unknown sent delivered");
    scene.told(&message, &["sending", "unknown", "sent", "delivered"]).await;
    assert_eq!(scene.provider.calls().len(), 1);
    let accepted = "select count(*) from attempts where outcome = 'accepted' and provider_message_id = 'wamid.SCRIPTED0000=='";
    assert_eq!(count(&scene.database, accepted).await, 1);
}

/// A provider that dies in the middle of its answer: unknown, although the id could have been read; by a report it is what
/// the report says, and without any it fails at the deadline. A report that comes after that still counts.
pub async fn half_an_answer_is_no_answer(services: &Services) {
    let scene = scene(services).await;
    let phones = ["+966500060001", "+966500060002", "+966500060003", "+966500060004"];
    let mut messages = Vec::new();
    for phone in phones {
        scene.provider.plan(phone, Reply::Half);
        messages.push(scene.unknown(phone).await);
    }
    scene.report(&messages[0], &Provider::id(0), "read").await;
    scene.report(&messages[1], &Provider::id(1), "failed").await;
    scene.deadline().await;
    scene.report(&messages[3], &Provider::id(3), "delivered").await;
    let lives = ["unknown read", "unknown failed", "unknown failed", "unknown failed delivered"];
    for ((message, phone), expected) in messages.iter().zip(phones).zip(lives) {
        assert_eq!(life(&scene.database, message).await, format!("queued sending {expected}"), "{phone}");
        assert_eq!(scene.provider.calls_to(phone).len(), 1, "{phone}");
    }
    scene.told(&messages[2], &["sending", "unknown", "failed"]).await;
    let used = "select count(*) from quota_usage where used = 4";
    assert_eq!(count(&scene.database, used).await, 2, "each may have arrived");
}

/// A provider that accepts and never says so, nor reports: unknown ends at the deadline, once, as a failure. A 200 without
/// an id, and one that is no JSON, are the same.
pub async fn silence_ends_at_the_deadline(services: &Services) {
    let scene = scene(services).await;
    let without_id = json!({"messaging_product": "whatsapp", "messages": []});
    scene.provider.plan("+966500060002", Reply::say(200, without_id));
    scene.provider.plan("+966500060003", Reply::say(200, json!("accepted")));
    scene.provider.plan("+966500060004", Reply::say(502, json!("bad gateway")));
    scene.provider.hold(true);
    let mut messages = Vec::new();
    for phone in ["+966500060001", "+966500060002", "+966500060003", "+966500060004"] {
        messages.push(scene.unknown(phone).await);
    }
    scene.deadline().await;
    for message in &messages {
        assert_eq!(life(&scene.database, message).await, "queued sending unknown failed");
        scene.told(message, &["sending", "unknown", "failed"]).await;
    }
    assert_eq!(scene.provider.calls().len(), 4);
    let ended = "select count(*) from messages where error = 'gateway_send_failed' and due_at is null and not in_flight";
    assert_eq!(count(&scene.database, ended).await, 4);
}

/// A report that names neither our mark nor an id we know waits for it; once another report tells the id, it takes effect.
pub async fn a_report_without_a_mark_waits_for_one_with_it(services: &Services) {
    let scene = scene(services).await;
    scene.provider.hold(true);
    let message = scene.unknown("+966500060001").await;
    let id = Provider::id(0);
    meta::post(&scene.world.gateway_url(), &meta::status(&scene.customer, &id, "read", None)).await;
    let parked = "select count(*) from callbacks where tries > 0 and due_at is not null";
    crate::support::rows::wait_for_count(&scene.database, parked, 1).await;
    assert_eq!(scene.world.status(&message).await, "unknown");
    let mark = format!("{}/{message}:1", scene.customer.account);
    meta::post(&scene.world.gateway_url(), &meta::status(&scene.customer, &id, "sent", Some(&mark))).await;
    scene.world.wait_for_status(&message, &["read"]).await;
    assert_eq!(life(&scene.database, &message).await, "queued sending unknown sent read");
    assert_eq!(scene.provider.calls().len(), 1);
}

/// Where the instance is to send again, it does so once, and the mark tells the calls apart: a failure of the first says
/// nothing of the second, a delivery of the first is one.
pub async fn a_resend_is_one_and_marked_as_such(services: &Services) {
    let scene = scene(services).await;
    let which = ["--account", &scene.customer.account, "--id", "meta-line", "resend"];
    scene.world.admin(&[&["instance", "set-on-unknown"], &which[..]].concat()).await;
    let phone = "+966500060001";
    scene.provider.plan(phone, Reply::Half);
    let message = scene.unknown(phone).await;
    scene.world.wait_for_status(&message, &["sent"]).await;
    let marks: Vec<String> = scene
        .provider
        .calls_to(phone)
        .iter()
        .map(|call| call["biz_opaque_callback_data"].as_str().expect("a mark").to_owned())
        .collect();
    let mark = |call: u8| format!("{}/{message}:{call}", scene.customer.account);
    assert_eq!(marks, [mark(1), mark(2)]);
    scene.report(&message, &Provider::id(0), "failed").await;
    assert_eq!(life(&scene.database, &message).await, "queued sending unknown sent");
    scene.report(&message, &Provider::id(0), "delivered").await;
    assert_eq!(life(&scene.database, &message).await, "queued sending unknown sent delivered");
    assert_eq!(scene.provider.calls().len(), 2);
}
