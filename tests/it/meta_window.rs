//! Meta's 24-hour window: who wrote within a day may be sent free text; who is known not to have fails without a call.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::meta::{callback, text};
use crate::support::meta_stage::MetaStage as Scene;
use crate::support::provider::{Provider, Reply};
use crate::support::rows::{count, life};
use crate::support::services::Services;

const HOUR: i64 = 3_600;

impl Scene {
    /// Somebody writes, that many seconds ago.
    async fn writes(&self, phone: &str, ago: i64) {
        let mut body = text(&self.customer, &phone[1..], &format!("wamid.{}{ago}==", &phone[1..]), "Hello");
        let now = count(&self.database, "select extract(epoch from now())::int8").await;
        body["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = (now - ago).to_string().into();
        self.world.report(&self.database, &body).await;
    }

    /// What comes of a free text.
    async fn send(&self, phone: &str) -> String {
        let message = self.customer.accepted(phone).await;
        self.world.wait_for_status(&message, &["sent", "failed"]).await;
        let sql = "select status::text || coalesce(' ' || error, '') from messages where message_id = $1::text::uuid";
        let row = self.database.query_one(sql, &[&message]).await.expect("a row");
        format!("{} after {} calls", row.get::<_, &str>(0), self.provider.calls_to(phone).len())
    }

    /// As if the instance had listened for that many hours already.
    async fn has_listened(&self, hours: i32) {
        let sql = "update instances set listening_since = now() - make_interval(hours => $1) where instance_id = 'meta-line'";
        self.database.execute(sql, &[&hours]).await.expect("the database answers");
    }

    async fn set(&self, outside: &str) {
        let which = ["--account", &self.customer.account, "--id", "meta-line", outside];
        self.world.admin(&[&["instance", "set-outside-window"], &which[..]].concat()).await;
    }

    /// What `instance list` shows of the number.
    async fn shown(&self) -> Value {
        let list = self.world.admin(&["instance", "list", "--account", &self.customer.account]).await;
        let items = list["items"].as_array().expect("a list").clone();
        items.into_iter().find(|item| item["id"] == "meta-line").expect("the number is listed")
    }
}

const SENT: &str = "sent after 1 calls";
const FAILED: &str = "failed needs_template after 0 calls";

/// Who wrote within a day gets free text; who wrote earlier, and once all has been heard for a day, who never wrote, does
/// not: it fails at once, without a call, is told as such, and gives the quota back. A new message opens the window again.
pub async fn a_closed_window_fails_without_a_call(services: &Services) {
    let scene = Scene::new(services).await;
    scene.writes("+966500040001", HOUR).await;
    scene.writes("+966500040002", 25 * HOUR).await;
    assert_eq!(scene.send("+966500040001").await, SENT);
    assert_eq!(scene.send("+966500040002").await, FAILED);
    scene.has_listened(25).await;
    assert_eq!(scene.send("+966500040003").await, FAILED);

    let told = eventually("the failure is told", async || {
        let told = scene.receiver.events("message.status_updated").into_iter();
        told.into_iter().find(|event| event["to"] == "+966500040003" && event["status"] == "failed")
    })
    .await;
    assert_eq!((&told["error"], &told["previous_status"]), (&json!("needs_template"), &json!("queued")));
    let id = told["message_id"].as_str().expect("an id");
    assert_eq!(life(&scene.database, id).await, "queued failed");
    assert_eq!(count(&scene.database, "select count(*) from quota_usage where used = 1").await, 2);

    let waited = scene.customer.request(&scene.customer.message("+966500040003")).header("prefer", "wait=20");
    let waited = crate::support::world::answer(waited).await;
    assert_eq!((waited.status, waited.error()), (502, "gateway_send_failed"));
    scene.writes("+966500040003", 1).await;
    assert_eq!(scene.send("+966500040003").await, SENT);
    // A picture, too, opens it, and a time to come is no longer than now.
    let picture = json!([{"from": "966500040004", "id": "wamid.P==", "timestamp": "4102444800", "type": "image",
        "image": {"id": "1"}}]);
    scene.world.report(&scene.database, &callback(&scene.customer, "messages", &picture)).await;
    assert_eq!(scene.send("+966500040004").await, SENT);
    assert_eq!(
        count(&scene.database, "select count(*) from conversations where last_inbound_at > now()").await,
        0
    );
}

/// What is not known is tried: before any callback came, and for a day from the first one on, people may have written
/// before. What Meta says then is the same to the customer, only later.
pub async fn what_is_not_known_is_tried(services: &Services) {
    let scene = Scene::new(services).await;
    assert_eq!(scene.shown().await["listening_since"], Value::Null);
    assert_eq!(scene.send("+966500040001").await, SENT);
    scene.provider.plan("+966500040002", Reply::error(400, 131_047));
    assert_eq!(scene.send("+966500040002").await, "failed needs_template after 1 calls");
    // The report of a message shows that callbacks come.
    let status = crate::support::meta::status(&scene.customer, &Provider::id(0), "delivered", None);
    scene.world.report(&scene.database, &status).await;
    let shown = scene.shown().await;
    assert!(
        shown["listening_since"].is_string() && shown["business_account_id"] == "700100200300400",
        "{shown}"
    );
    assert_eq!(scene.send("+966500040003").await, SENT);
    scene.has_listened(23).await;
    assert_eq!(scene.send("+966500040004").await, SENT);
    scene.has_listened(25).await;
    assert_eq!(scene.send("+966500040005").await, FAILED);
}

/// An operator may have everything tried. The sandbox's instances do so from the beginning; Evolution knows no window.
pub async fn an_operator_may_have_it_tried(services: &Services) {
    let scene = Scene::new(services).await;
    scene.has_listened(48).await;
    assert_eq!(scene.shown().await["outside_window"], "fail");
    assert_eq!(scene.send("+966500040001").await, FAILED);
    scene.set("try").await;
    assert_eq!(scene.shown().await["outside_window"], "try");
    assert_eq!(scene.send("+966500040001").await, SENT);
    scene.set("fail").await;
    assert_eq!(scene.send("+966500040002").await, FAILED);

    let list = scene.world.admin(&["instance", "list", "--account", &scene.customer.account]).await;
    let sandbox = list["items"].as_array().expect("a list").iter().find(|item| item["provider"] == "sandbox");
    assert_eq!(sandbox.expect("it is there")["outside_window"], "try");
    let account = scene.customer.account.as_str();
    let evolution = [
        "instance",
        "create",
        "--account",
        account,
        "--id",
        "evo",
        "--name",
        "E",
        "--provider",
        "evolution",
        "--base-url",
        "http://127.0.0.1:1",
        "--provider-instance",
        "e",
        "--token-env",
        "SANDBOX_TOKEN",
    ];
    scene.world.admin(&evolution).await;
    let set = ["instance", "set-outside-window", "--account", account, "--id"];
    let said = scene.world.admin_refuses(&[&set[..], &["evo", "try"]].concat()).await;
    assert!(said.contains("no 24-hour window"), "{said}");
    let said = scene.world.admin_fails(1, &[&set[..], &["nobody", "try"]].concat()).await;
    assert!(said.contains("nobody"), "{said}");
}

/// A window is one number's: who wrote to another number of the account, or to another account, is outside of this one's.
/// What waits while its number is paused is judged when it may leave.
pub async fn a_window_is_one_numbers(services: &Services) {
    let scene = Scene::new(services).await;
    let second = scene.provider.meta_instance(&scene.world, &scene.customer, "second").await;
    scene.has_listened(48).await;
    let phone = "+966500040001";
    let hello = text(&second, &phone[1..], "wamid.SECOND==", "Hello");
    let now = count(&scene.database, "select extract(epoch from now())::int8").await;
    let mut hello = hello;
    hello["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = now.to_string().into();
    scene.world.report(&scene.database, &hello).await;
    assert_eq!(scene.send(phone).await, FAILED);
    let message = second.accepted(phone).await;
    scene.world.wait_for_status(&message, &["sent"]).await;

    let which = ["--account", &scene.customer.account, "--id", "meta-line"];
    scene.world.admin(&[&["instance", "set-connection"], &which[..], &["connecting"]].concat()).await;
    let waits = scene.customer.accepted("+966500040002").await;
    eventually("it is held", async || {
        let held = "select count(*) from messages where status = 'queued' and due_at > now() + interval '11 seconds'";
        (count(&scene.database, held).await == 1).then_some(())
    })
    .await;
    scene.writes("+966500040002", 1).await;
    scene.world.admin(&[&["instance", "set-connection"], &which[..], &["open"]].concat()).await;
    scene.world.wait_for_status(&waits, &["sent"]).await;
}
