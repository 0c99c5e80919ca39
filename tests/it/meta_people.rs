//! People whom Meta names by an id of its own, and people whom it asks to spare.

use serde_json::json;

use crate::support::line::{Line, PERSON, samples};
use crate::support::meta::{self, all_applied, callback};
use crate::support::process::Binary;
use crate::support::provider::{Provider, Reply};
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::World;

/// STOP from somebody without a number waits, is listed, and is carried out when a report tells the number; from then on
/// their id is as good as their number.
pub async fn a_wish_without_a_number_waits_for_it(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (database, samples) = (world.database().await, samples());
    let line = Line::open(&database).await;
    let report = async |body| {
        line.post(&world, &body).await;
        all_applied(&database).await;
        line.effect(&database).await
    };
    assert_eq!(
        report(line.told(&samples["inbound_text_stop_no_phone_2026"])).await,
        "opt_out waits, heard 1"
    );
    let account = line.account_id.to_string();
    let listed = world.admin(&["suppression", "unresolved", "--account", &account]).await;
    assert_eq!(listed["items"][0]["sender"], "SA.100200300");
    assert_eq!(
        report(line.told(&samples["status_delivered_no_phone_2026"])).await,
        "delivered, all stopped by inbound, knows the number, heard 1, \
         told message.delivered message.status_updated recipient.opted_out"
    );
    let mut start = line.told(&samples["inbound_text_stop_no_phone_2026"]);
    let message = &mut start["entry"][0]["changes"][0]["value"]["messages"][0];
    message["id"] = "wamid.START==".into();
    message["text"]["body"] = "START".into();
    message["timestamp"] = (line.began + 299).to_string().into();
    let effect = report(start).await;
    assert!(!effect.contains("stopped") && effect.contains("window of the person"), "{effect}");
    let mut prefer = line.told(&samples["user_preferences_stop"]);
    let value = &mut prefer["entry"][0]["changes"][0]["value"];
    value["contacts"] = json!([]);
    value["user_preferences"][0]["wa_id"] = json!(null);
    value["user_preferences"][0]["user_id"] = "SA.100200300".into();
    let effect = report(prefer).await;
    assert!(effect.contains("non_essential stopped by provider"), "{effect}");
}

/// What somebody without a number says of marketing waits as well, and does not undo a STOP that waits.
pub async fn a_preference_without_a_number_waits_too(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (database, samples) = (world.database().await, samples());
    let report = async |line: &Line, body| {
        line.post(&world, &body).await;
        all_applied(&database).await;
        line.effect(&database).await
    };
    let nameless = |line: &Line, sample: &str| {
        let mut prefer = line.told(&samples[sample]);
        let value = &mut prefer["entry"][0]["changes"][0]["value"];
        value["contacts"] = json!([]);
        value["user_preferences"][0]["wa_id"] = json!(null);
        value["user_preferences"][0]["user_id"] = "SA.100200300".into();
        prefer
    };
    let line = Line::open(&database).await;
    assert_eq!(report(&line, nameless(&line, "user_preferences_stop")).await, "stop_marketing waits");
    let effect = report(&line, line.told(&samples["status_delivered_no_phone_2026"])).await;
    assert!(effect.contains("non_essential stopped by provider, knows the number"), "{effect}");
    let line = Line::open(&database).await;
    let stop = line.told(&samples["inbound_text_stop_no_phone_2026"]);
    assert_eq!(report(&line, stop).await, "opt_out waits, heard 1");
    let effect = report(&line, nameless(&line, "user_preferences_resume")).await;
    assert_eq!(effect, "opt_out waits, heard 1");
}

/// Somebody whom Meta spares (131049) is sent nothing but codes for a day: the next send is refused at the door. Nobody is
/// told, because nobody asked for it; when they do ask, it is told, and has no end any more.
pub async fn whom_meta_spares_is_spared_for_a_day(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (database, provider) = (world.database().await, Provider::start().await);
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let customer = provider.meta_instance(&world, &customer, "meta-line").await;
    let phone = format!("+{PERSON}");
    provider.plan(&phone, Reply::error(400, 131_049));
    let message = customer.accepted(&phone).await;
    world.wait_for_status(&message, &["failed"]).await;
    assert_eq!(customer.send(&customer.message(&phone)).await.error(), "recipient_suppressed");
    assert_eq!(customer.send(&customer.code(&phone)).await.status, 202);
    let spared = "select count(*) from suppressions where source = 'provider' and scope = 'non_essential'
        and ends_at between now() + interval '23 hours' and now() + interval '24 hours'";
    assert_eq!(count(&database, spared).await, 1);
    assert_eq!(count(&database, "select count(*) from events where kind like 'recipient.%'").await, 0);

    let stop = json!([{"wa_id": PERSON, "category": "marketing_messages", "value": "stop", "timestamp": 4_102_444_800_i64}]);
    world.report(&database, &callback(&customer, "user_preferences", &stop)).await;
    let told =
        crate::support::eventually("it is told", async || receiver.events("recipient.opted_out").pop()).await;
    assert_eq!(told["reason"], "recipient_stopped_marketing");
    assert_eq!(count(&database, "select count(*) from suppressions where ends_at is null").await, 1);
    // A second pause leaves alone what has no end.
    let late = meta::status(&customer, &Provider::id(1), "failed", None);
    let mut late = late;
    late["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"][0]["code"] = 131_049.into();
    let now = count(&database, "select extract(epoch from now())::int8").await;
    late["entry"][0]["changes"][0]["value"]["statuses"][0]["timestamp"] = now.to_string().into();
    world.report(&database, &late).await;
    assert_eq!(count(&database, "select count(*) from suppressions where ends_at is null").await, 1);
}
