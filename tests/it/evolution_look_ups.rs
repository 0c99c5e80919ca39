//! What an Evolution server has on record settles what had no answer.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::evolution::{Evolution, Reply, Stage, record};
use crate::support::rows::{count, life, provider_id};
use crate::support::services::Services;

/// A message that has no answer is found by the id that was proposed for it, as far as it has come by then; no second send.
pub async fn look_ups_find_a_message_by_its_id(services: &Services) {
    let stage = Stage::new(services).await;
    let receiver = stage.world.receiver(&stage.customer).await;
    stage.server.plan(Reply::Leaves(true));
    let message = stage.customer.accepted("+966500210001").await;
    stage.world.wait_for_status(&message, &["sent"]).await;
    let proposed = stage.server.asked("sendText").remove(0).body["messageId"].clone();
    let asked = stage.server.asked("findMessages");
    assert_eq!(asked[0].instance, "shop main");
    assert_eq!(asked[0].headers["apikey"], "the-evolution-servers-key");
    assert_eq!(asked[0].body, json!({"where": {"key": {"id": proposed}}, "page": 1, "offset": 10}));
    let database = stage.world.database().await;
    assert_eq!(life(&database, &message).await, "queued sending unknown sent");
    assert_eq!(json!(provider_id(&database, &message).await), proposed);
    eventually("it is told", async || {
        let expected = ["sending", "unknown", "sent"].map(str::to_owned);
        let rises: Vec<String> = receiver.rises(&message).into_iter().map(|(_, status)| status).collect();
        (rises == expected).then_some(())
    })
    .await;
    assert_eq!((stage.server.asked("sendText").len(), asked.len()), (1, 1));
}

/// Servers before 2.4 give an id of their own: the message is found by its recipient and text, if there is only one that it
/// can be, and with what became of it.
pub async fn look_ups_find_a_message_by_its_text(services: &Services) {
    let stage = Stage::new(services).await;
    let database = stage.world.database().await;
    // On the server's record, as if it had been sent by hand: another text, another person, and one of our own.
    let ours = stage.customer.accepted("+966500220009").await;
    stage.world.wait_for_status(&ours, &["sent"]).await;
    let mut sent = stage.server.asked("sendText").remove(0).body;
    stage.server.add_record(record(&sent, &Evolution::id(0)));
    sent["number"] = json!("966500220001");
    sent["text"] = json!("Something else.");
    stage.server.add_record(record(&sent, "3EB0BYHAND"));

    stage.server.plan(Reply::Leaves(false));
    let message = stage.customer.accepted("+966500220001").await;
    eventually("it has left", async || (stage.server.asked("sendText").len() == 2).then_some(())).await;
    stage.server.change_record(2, |record| record["MessageUpdate"] = json!([{"status": "DELIVERY_ACK"}]));
    stage.world.wait_for_status(&message, &["delivered"]).await;
    assert_eq!(provider_id(&database, &message).await, Evolution::id(1));
    assert_eq!(life(&database, &message).await, "queued sending unknown delivered");
    assert_eq!(life(&database, &ours).await, "queued sending sent");

    // Two of the same text to the same person: it may be either.
    let body = stage.customer.message("+966500220001");
    stage.server.plan(Reply::Leaves(false));
    let doubtful = stage.customer.send(&body).await.message_id();
    eventually("it has left", async || (stage.server.asked("sendText").len() == 3).then_some(())).await;
    stage.world.wait_for_status(&doubtful, &["failed"]).await;
    assert_eq!(life(&database, &doubtful).await, "queued sending unknown failed");
}

/// A server that has no record is asked three times, and the deadline decides; one that cannot be asked, no oftener.
pub async fn look_ups_end(services: &Services) {
    let stage = Stage::new(services).await;
    let database = stage.world.database().await;
    for (phone, reply) in
        [("+966500230001", Reply::Nothing), ("+966500230002", Reply::refuse(500, &json!("write EPIPE")))]
    {
        let before = stage.server.asked("findMessages").len();
        stage.server.plan(reply);
        let message = stage.customer.accepted(phone).await;
        stage.world.wait_for_status(&message, &["failed"]).await;
        assert_eq!(life(&database, &message).await, "queued sending unknown failed");
        // Each time by the id, and then by the text.
        let asked = &stage.server.asked("findMessages")[before..];
        let by_id: Vec<bool> =
            asked.iter().map(|asked| asked.body["where"]["key"]["id"].is_string()).collect();
        assert_eq!(by_id, [true, false, true, false, true, false]);
    }
    assert_eq!(count(&database, "select count(*) from messages where look_ups = 3").await, 2);
    assert_eq!(stage.server.asked("sendText").len(), 2);
}

/// What WhatsApp did not take, by the server's record, has failed at once.
pub async fn look_ups_tell_of_failures(services: &Services) {
    let stage = Stage::new(services).await;
    stage.server.plan(Reply::Leaves(true));
    let message = stage.customer.accepted("+966500240001").await;
    eventually("it has left", async || (stage.server.asked("sendText").len() == 1).then_some(())).await;
    stage.server.change_record(0, |record| record["MessageUpdate"] = json!([{"status": "ERROR"}]));
    stage.world.wait_for_status(&message, &["failed"]).await;
    let sql = "select a.reason, m.error from attempts a join messages m using (account_id, message_id)
               where message_id = $1::text::uuid";
    let row =
        stage.world.database().await.query_one(sql, &[&message]).await.expect("the attempt is on record");
    let (why, error): (String, Value) = (row.get(0), json!(row.get::<_, Option<String>>(1)));
    assert_eq!(why, "evolution has on record that WhatsApp did not take the message");
    assert_eq!(error, "gateway_send_failed");
}
