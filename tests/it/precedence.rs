//! What is answered when several errors apply at once: the earlier in the documents' order.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer};

/// The documents' order.
const ORDER: [&str; 17] = [
    "unsupported_media_type",
    "invalid_api_key",
    "revoked_api_key",
    "invalid_json",
    "validation_error",
    "module_not_enabled",
    "active_plan_required",
    "invalid_instance",
    "message_purpose_required",
    "message_purpose_not_allowed",
    "daily_message_limit_exceeded",
    "monthly_message_limit_exceeded",
    "recipient_suppressed",
    "sending_throttled",
    "instance_paused_for_review",
    "policy_violation",
    "gateway_send_failed",
];

const ADVERTISEMENT: &str =
    "MEGA SALE! Up to 70% off everything this weekend only. Shop now and save: https://bit.ly/x1";
const PHONE: &str = "+966500010001";

/// A request as it stands; it begins with everything wrong that can be wrong with a request.
struct Sent {
    content_type: &'static str,
    key: String,
    body: String,
    idempotency_key: String,
}

impl Sent {
    async fn answer(&self, customer: &Customer) -> Answer {
        let request = customer
            .http
            .post(format!("{}/api/send-message", customer.gateway_url))
            .header("content-type", self.content_type)
            .bearer_auth(&self.key)
            .header("idempotency-key", &self.idempotency_key)
            .body(self.body.clone());
        answer(request).await
    }

    /// Corrects the one thing that the answer complains of. What is wrong with the account is corrected by the operator.
    async fn correct(&mut self, error: &str, world: &World, customer: &Customer, revoked: &str) {
        let account = customer.account.as_str();
        let mut body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let instance = |what| vec!["instance", what, "--account", account, "--id", "shop-main"];
        match error {
            "unsupported_media_type" => self.content_type = "application/json",
            "invalid_api_key" => self.key = revoked.to_owned(),
            "revoked_api_key" => self.key = customer.key.clone(),
            // Still without a phone, and with an idempotency key that is too long; the rest is wrong but well-formed.
            "invalid_json" => body = json!({"instance_id": "nobodys", "message": ADVERTISEMENT}),
            "validation_error" => {
                body["phone"] = PHONE.into();
                self.idempotency_key = "k".to_owned();
            }
            "module_not_enabled" => drop(world.admin(&["account", "set-api-access", account, "on"]).await),
            "active_plan_required" => {
                drop(world.admin(&["account", "set-plan", account, "--plan", "starter"]).await);
            }
            "invalid_instance" => body["instance_id"] = "shop-main".into(),
            "message_purpose_required" => body["message_purpose"] = "marketing".into(),
            "message_purpose_not_allowed" => body["message_purpose"] = "transactional".into(),
            "daily_message_limit_exceeded" => {
                drop(world.admin(&["account", "set-limits", account, "--daily", "9"]).await);
            }
            "monthly_message_limit_exceeded" => {
                drop(world.admin(&["account", "set-limits", account, "--monthly", "9"]).await);
            }
            "recipient_suppressed" => {
                drop(world.admin(&["suppression", "remove", "--account", account, "--phone", PHONE]).await);
            }
            "sending_throttled" => backlog(world, customer, 0).await,
            "instance_paused_for_review" => {
                drop(world.admin(&[&instance("resume")[..], &["--note", "looked into"]].concat()).await);
            }
            "policy_violation" => body["message"] = "Your order 2041 has been shipped.".into(),
            "gateway_send_failed" => {
                drop(world.admin(&[&instance("set-connection")[..], &["open"]].concat()).await);
            }
            other => panic!("nothing corrects {other}"),
        }
        if body.is_object() {
            self.body = body.to_string();
        }
    }
}

/// Sets how many seconds of messages the instance has in front of it.
async fn backlog(world: &World, customer: &Customer, seconds: i32) {
    let sql = "update pacing set next_at = now() + $2 * interval '1 second' where account_id = $1";
    let database = world.database().await;
    database
        .execute(sql, &[&customer.account_id, &f64::from(seconds)])
        .await
        .expect("the schedule can be set");
}

/// Makes everything wrong that can be wrong with an account; gives a key of it that was revoked.
async fn spoil(world: &World, customer: &Customer) -> String {
    let account = customer.account.as_str();
    let made = world.admin(&["api-key", "create", "--account", account]).await;
    let id = made["id"].as_str().expect("a text");
    let instance = ["--account", account, "--id", "shop-main"];
    for command in [
        vec!["api-key", "revoke", "--account", account, "--id", id],
        vec!["account", "set-api-access", account, "off"],
        vec!["account", "set-plan", account, "--plan", "none"],
        vec!["account", "set-limits", account, "--daily", "0", "--monthly", "0"],
        vec!["suppression", "add", "--account", account, "--phone", PHONE],
        [&["instance", "pause"], &instance[..]].concat(),
        [&["instance", "set-connection"], &instance[..], &["close"]].concat(),
    ] {
        world.admin(&command).await;
    }
    backlog(world, customer, 4_000).await;
    made["secret"].as_str().expect("a text").to_owned()
}

/// A request that violates everything, of an account that violates everything, is answered with the first error of the
/// order; whenever that one thing is corrected, with the next; when all are, it is accepted. Each refusal past
/// authentication has a row in the policy log.
pub async fn precedence_is_the_catalogues_order(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let revoked = spoil(&world, &customer).await;
    let _gateway = world.start(Binary::Gateway).await;
    let mut sent = Sent {
        content_type: "text/plain",
        key: "gp_live_nobodys".to_owned(),
        body: "{".to_owned(),
        idempotency_key: "k".repeat(256),
    };
    for (place, error) in ORDER.into_iter().enumerate() {
        let before = place.checked_sub(1).map_or("", |before| ORDER[before]);
        eventually(&format!("{error} follows {before}"), async || {
            let answer = sent.answer(&customer).await;
            // A correction by the operator needs a moment to be heeded; nothing else may come between.
            assert!([before, error].contains(&answer.error()), "{error}: {}", answer.text);
            (answer.error() == error).then_some(())
        })
        .await;
        sent.correct(error, &world, &customer, &revoked).await;
    }
    eventually("nothing is wrong any more", async || {
        let answer = sent.answer(&customer).await;
        assert!(answer.status == 202 || answer.error() == ORDER[16], "{}", answer.text);
        (answer.status == 202).then_some(())
    })
    .await;

    let sql =
        "select error_code from policy_log where account_id = $1 group by error_code order by min(log_id)";
    let rows = world.database().await.query(sql, &[&customer.account_id]).await.expect("the log can be read");
    let logged: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    let mut expected: Vec<Option<String>> =
        ORDER[3..].iter().map(|error| Some((*error).to_owned())).collect();
    expected.push(None);
    assert_eq!(logged, expected);
}
