//! What Meta says of senders and business accounts stops and frees what waits there, and nobody else.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::line::samples;
use crate::support::meta::{callback, status};
use crate::support::meta_stage::MetaStage as Scene;
use crate::support::provider::{Provider, Reply};
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::Customer;

async fn scene(services: &Services) -> Scene {
    Scene::with(services, &[("GATEPOST_PROBE_MS", 200)]).await
}

impl Scene {
    async fn sent(&self, customer: &Customer, phone: &str) -> String {
        let message = customer.accepted(phone).await;
        self.world.wait_for_status(&message, &["sent"]).await;
        message
    }

    /// Meta reports an error of the number itself.
    async fn reports(&self, code: i32) {
        let error = json!([{"code": code, "title": "any", "error_data": {"details": "words"}}]);
        self.world.report(&self.database, &callback(&self.customer, "errors", &error)).await;
    }

    /// Meta reports on the business account with that id.
    async fn says(&self, sample: &str, account: &str) {
        let body = samples()[sample].to_string().replace("700100200300400", account);
        self.world.report(&self.database, &serde_json::from_str::<Value>(&body).expect("JSON")).await;
    }

    /// Meta restricts the business account with that id until 2100.
    async fn restrict(&self, kind: &str, account: &str) {
        let mut body = samples()["account_update_restriction"].clone();
        body["entry"][0]["id"] = account.into();
        body["entry"][0]["changes"][0]["value"]["restriction_info"][0]["restriction_type"] = kind.into();
        crate::support::meta::post(&self.world.gateway_url(), &body).await;
        let restricted = "select count(*) from instances
            where greatest(texts_hold_until, templates_hold_until) = '2100-01-01Z'";
        wait_for_count(&self.database, restricted, 1).await;
    }

    /// Waits until the connection of the number is told as that.
    async fn connection(&self, connection: &str, times: usize) {
        eventually(&format!("{connection} is told"), async || {
            let told = self.receiver.events("instance.connection_updated");
            (told.iter().filter(|event| event["connection"] == connection).count() == times).then_some(())
        })
        .await;
    }

    /// What is held, or refused by its provider, is not called for.
    async fn waits(&self, message: &str, phone: &str) {
        eventually("it is looked at and held", async || {
            let sql = "select count(*) from messages where message_id = $1::text::uuid and status = 'queued'
                       and lease is null and due_at > now() + interval '2 seconds'";
            let row = self.database.query_one(sql, &[&message]).await.expect("a row");
            (row.get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        assert!(self.provider.calls_to(phone).is_empty());
    }

    async fn open(&self) {
        let which = ["--account", &self.customer.account, "--id", "meta-line", "open"];
        self.world.admin(&[&["instance", "set-connection"], &which[..]].concat()).await;
    }
}

/// A throughput limit reported without a message stops the number for its five seconds and no other; then what waited
/// leaves by itself. A restriction after complaints stops it until an operator has looked.
pub async fn an_error_of_the_number_stops_it(services: &Services) {
    let scene = scene(services).await;
    let other = scene.provider.meta_instance(&scene.world, &scene.customer, "other").await;
    scene.reports(130_429).await;
    let message = scene.customer.accepted("+966500070001").await;
    scene.sent(&other, "+966500070002").await;
    assert!(scene.provider.calls_to("+966500070001").is_empty());
    scene.world.wait_for_status(&message, &["sent"]).await;
    let rested = "select count(*) from attempts a join messages m using (account_id, message_id)
        join instances n using (account_id, instance_id) where n.hold_until > m.created_at and a.started_at >= n.hold_until";
    assert_eq!(count(&scene.database, rested).await, 1);

    scene.reports(131_048).await;
    scene.connection("suspect", 1).await;
    let message = scene.customer.accepted("+966500070003").await;
    scene.waits(&message, "+966500070003").await;
    scene.sent(&other, "+966500070004").await;
    scene.open().await;
    scene.world.wait_for_status(&message, &["sent"]).await;
}

/// The limit of a pair delays that pair: one second, then four; others are served meanwhile, and it does not count as an
/// attempt.
pub async fn the_limit_of_a_pair_delays_that_pair(services: &Services) {
    let scene = scene(services).await;
    let phone = "+966500070001";
    for _ in 0..2 {
        scene.provider.plan(phone, Reply::error(400, 131_056));
    }
    let message = scene.customer.accepted(phone).await;
    eventually("the limit is met", async || scene.provider.calls_to(phone).pop()).await;
    scene.sent(&scene.customer, "+966500070002").await;
    scene.world.wait_for_status(&message, &["sent"]).await;
    let sql = "select m.attempts::int, array_agg(extract(epoch from a.started_at - b.finished_at)::float8 order by a.attempt)
        from messages m join attempts a using (account_id, message_id)
        join attempts b on b.account_id = a.account_id and b.message_id = a.message_id and b.attempt = a.attempt - 1
        where m.message_id = $1::text::uuid group by 1";
    let row = scene.database.query_one(sql, &[&message]).await.expect("a row");
    let pauses: Vec<f64> = row.get(1);
    assert_eq!((row.get::<_, i32>(0), pauses.len()), (0, 2));
    assert!(pauses[0] > 0.9 && pauses[1] > 3.9, "{pauses:?}");
}

/// News of a business account reach the numbers of which callbacks told that they are its: disabled, they wait; reinstated,
/// they leave; an account that is gone, or somebody else's suspicion, is opened by an operator alone.
pub async fn news_of_an_account_reach_its_numbers(services: &Services) {
    let scene = scene(services).await;
    let business = "800100200300400";
    scene.says("account_update_disabled", business).await;
    let first = scene.sent(&scene.customer, "+966500070001").await;
    let mut told = status(&scene.customer, &Provider::id(0), "delivered", None);
    told["entry"][0]["id"] = business.into();
    scene.world.report(&scene.database, &told).await;
    scene.world.wait_for_status(&first, &["delivered"]).await;

    let other = scene.provider.meta_instance(&scene.world, &scene.customer, "other").await;
    let mut again = samples()["account_update_disabled"].clone();
    again["entry"][0]["id"] = business.into();
    again["entry"][0]["time"] = 1_769_904_999.into();
    scene.world.report(&scene.database, &again).await;
    scene.connection("suspect", 1).await;
    let message = scene.customer.accepted("+966500070002").await;
    scene.waits(&message, "+966500070002").await;
    scene.sent(&other, "+966500070003").await;
    scene.says("account_update_reinstated", business).await;
    scene.connection("open", 1).await;
    scene.world.wait_for_status(&message, &["sent"]).await;

    scene.says("account_update_deleted", business).await;
    scene.connection("suspect", 2).await;
    let mut late = samples()["account_update_reinstated"].clone();
    late["entry"][0]["id"] = business.into();
    late["entry"][0]["time"] = 1_769_904_999.into();
    scene.world.report(&scene.database, &late).await;
    let suspect =
        "select count(*) from instances where connection = 'suspect' and hold_reason like '%platform%'";
    assert_eq!(count(&scene.database, suspect).await, 1);
    scene.open().await;
}

/// A restriction of what the business begins holds templates, one of its answers free text, each until it ends; the other
/// kind goes on.
pub async fn a_restriction_holds_what_it_is_about(services: &Services) {
    let scene = scene(services).await;
    let business = "900100200300400";
    let mut told = status(&scene.customer, "wamid.ANY==", "sent", None);
    told["entry"][0]["id"] = business.into();
    crate::support::meta::post(&scene.world.gateway_url(), &told).await;
    let known = "select count(*) from instances where business_account_id = '900100200300400'";
    wait_for_count(&scene.database, known, 1).await;
    let template = |phone: &str| {
        let mut body = scene.customer.message(phone);
        body["template"] = json!({"name": "parcel_ready", "language": "ar"});
        body
    };
    scene.restrict("RESTRICTED_BIZ_INITIATED_MESSAGING", business).await;
    let held = scene.customer.send(&template("+966500070001")).await.message_id();
    scene.sent(&scene.customer, "+966500070002").await;
    scene.waits(&held, "+966500070001").await;
    let ended = "update instances set templates_hold_until = now()";
    scene.database.execute(ended, &[]).await.expect("the database answers");
    scene.open().await;
    scene.world.wait_for_status(&held, &["sent"]).await;

    scene.restrict("RESTRICTED_CUSTOMER_INITIATED_MESSAGING", business).await;
    let held = scene.customer.accepted("+966500070003").await;
    let message = scene.customer.send(&template("+966500070004")).await.message_id();
    scene.world.wait_for_status(&message, &["sent"]).await;
    scene.waits(&held, "+966500070003").await;
    let list = scene.world.admin(&["instance", "list", "--account", &scene.customer.account]).await;
    let shown = list["items"].as_array().expect("a list").iter().find(|item| item["id"] == "meta-line");
    assert_eq!(shown.expect("it is listed")["texts_hold_until"], "2100-01-01T00:00:00Z");
}

/// A restriction of hours ends by a try, at once where that is due; the try passes over what is held for another reason and
/// what would fail without a call. What the
/// number sends then frees the rest.
pub async fn a_restricted_number_is_tried_by_what_may_leave(services: &Services) {
    let scene = scene(services).await;
    scene.reports(131_048).await;
    scene.connection("suspect", 1).await;
    let hours = "select count(*) from suspicions where cause = 'refusal' and pause_ms = 4 * 3600 * 1000
        and probe_at between now() + interval '3 hours 58 minutes' and now() + interval '4 hours'";
    assert_eq!(count(&scene.database, hours).await, 1);
    let mut template = scene.customer.message("+966500070001");
    template["template"] = json!({"name": "parcel_ready", "language": "ar"});
    let held = scene.customer.send(&template).await.message_id();
    let outside = scene.customer.accepted("+966500070002").await;
    scene.waits(&outside, "+966500070002").await;
    let ready = "with n as (
            update instances set templates_hold_until = now() + interval '1 hour' where instance_id = 'meta-line'
            returning account_id, instance_id
        ), c as (
            insert into conversations (account_id, instance_id, recipient, last_inbound_at)
            select account_id, instance_id, '966500070002', now() - interval '2 days' from n
        )
        update suspicions set probe_at = now()";
    scene.database.execute(ready, &[]).await.expect("it can be set");
    let tried = scene.customer.accepted("+966500070003").await;
    scene.world.wait_for_status(&tried, &["sent"]).await;
    scene.connection("open", 1).await;
    scene.world.wait_for_status(&outside, &["failed"]).await;
    assert!(scene.provider.calls_to("+966500070002").is_empty());
    scene.waits(&held, "+966500070001").await;
    assert_eq!(count(&scene.database, "select count(*) from suspicions where tries > 0").await, 0);
}

/// A number of which no callback has told anything yet is tried as well, and not by a message to somebody who has opted out.
pub async fn a_restricted_number_is_tried_before_anything_was_heard(services: &Services) {
    let scene = scene(services).await;
    scene.reports(131_048).await;
    scene.connection("suspect", 1).await;
    let opted_out = scene.customer.accepted("+966500070011").await;
    scene.waits(&opted_out, "+966500070011").await;
    let tried = scene.customer.accepted("+966500070012").await;
    scene.waits(&tried, "+966500070012").await;
    let ready = "with n as (update instances set listening_since = null where instance_id = 'meta-line' returning account_id),
        s as (
            insert into suppressions (account_id, recipient, scope, source)
            select account_id, '966500070011', 'all', 'operator' from n
        )
        update suspicions set probe_at = now()";
    scene.database.execute(ready, &[]).await.expect("it can be set");
    scene.world.wait_for_status(&tried, &["sent"]).await;
    scene.connection("open", 1).await;
    assert!(scene.provider.calls_to("+966500070011").is_empty());
}
