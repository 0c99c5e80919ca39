//! Templates: sent by name in place of the text, judged by everything that is filled in, and only where a provider has
//! them.

use serde_json::{Value, json};

use crate::support::evolution::{Evolution, KEY};
use crate::support::meta_stage::MetaStage as Scene;
use crate::support::process::Binary;
use crate::support::provider::Reply;
use crate::support::rows::{count, life};
use crate::support::services::Services;
use crate::support::world::{World, answer};

impl Scene {
    fn template(&self, phone: &str, parameters: Value) -> Value {
        let mut body = self.customer.message(phone);
        body["message"] = format!("Hello Sara, your parcel {} is here.", &phone[7..]).into();
        body["template"] = json!({"name": "parcel_ready", "language": "en_US"});
        if !parameters.is_null() {
            body["template"]["parameters"] = parameters;
        }
        body
    }
}

/// A template is sent in Meta's shape, with named, numbered and without parameters, outside the window too, and again by
/// the same name when the first attempt fails.
pub async fn a_template_is_sent_in_metas_shape(services: &Services) {
    let scene = Scene::new(services).await;
    let database = scene.world.database().await;
    let listened = "update instances set listening_since = now() - interval '2 days'";
    database.execute(listened, &[]).await.expect("the database answers");
    scene.provider.plan("+966500050001", Reply::error(500, 131_016));
    let text = |text: &str| json!({"type": "text", "text": text});
    let named = |name: &str, text: &str| json!({"type": "text", "parameter_name": name, "text": text});
    for (phone, parameters, expected) in [
        ("+966500050001", json!(["Sara", "50001"]), Some(json!([text("Sara"), text("50001")]))),
        (
            "+966500050002",
            json!({"who": "سارة", "parcel": "50002"}),
            Some(json!([named("parcel", "50002"), named("who", "سارة")])),
        ),
        ("+966500050003", Value::Null, None),
        ("+966500050004", json!([]), None),
    ] {
        let body = scene.template(phone, parameters);
        let message = scene.customer.send(&body).await.message_id();
        scene.world.wait_for_status(&message, &["sent"]).await;
        assert_eq!(life(&database, &message).await, "queued sending sent");
        let calls = scene.provider.calls_to(phone);
        assert_eq!(calls.len(), if phone.ends_with('1') { 2 } else { 1 });
        for call in calls {
            assert_eq!((&call["type"], &call["text"]), (&json!("template"), &Value::Null));
            let mut template = json!({"name": "parcel_ready", "language": {"code": "en_US"}});
            if let Some(parameters) = &expected {
                template["components"] = json!([{"type": "body", "parameters": parameters}]);
            }
            assert_eq!(call["template"], template);
            assert_eq!(call["recipient_type"], "individual");
        }
    }
    let stored = "select count(*) from message_texts where template ->> 'name' = 'parcel_ready' and body like 'Hello Sara%'";
    assert_eq!(count(&database, stored).await, 4);
    // Free text to the same people is outside the window.
    let message = scene.customer.accepted("+966500050003").await;
    scene.world.wait_for_status(&message, &["failed"]).await;
}

/// What is no template is named, and so is a template where the provider has none; nothing is accepted.
pub async fn a_template_is_named_where_it_cannot_be(services: &Services) {
    let mut world = World::new(services).await;
    world.set("EVOLUTION_KEY", KEY);
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, server) = (world.customer().await, Evolution::start().await);
    let evolution = server.instance(&world, &customer).await;
    let mut body = customer.message("+966500050001");
    for template in [
        json!("parcel_ready"),
        json!({"name": "parcel ready", "language": "ar"}),
        json!({"name": "x"}),
        json!([]),
    ] {
        body["template"] = template;
        let refused = customer.send(&body).await;
        assert_eq!((refused.status, refused.error()), (422, "validation_error"), "{}", refused.text);
        assert_eq!(refused.body["details"]["fields"], json!(["template"]));
    }
    body["template"] = json!({"name": "parcel_ready", "language": "ar", "parameters": ["Sara"]});
    for text in [json!("text"), json!("template"), Value::Null] {
        body["type"] = text;
        assert_eq!(customer.send(&body).await.status, 202);
    }
    body["instance_id"] = evolution.instance.clone().into();
    let refused = customer.send(&body).await;
    assert_eq!((refused.status, refused.error()), (422, "validation_error"), "{}", refused.text);
    assert_eq!(refused.body["details"]["fields"], json!(["template"]));
    // The instance is judged before the purpose, and a template needs the message as well.
    body["message_purpose"] = "marketing".into();
    assert_eq!(customer.send(&body).await.error(), "validation_error");
    body["message"] = Value::Null;
    let refused = customer.send(&body).await;
    assert_eq!(refused.body["details"]["fields"], json!(["message"]));
    let database = world.database().await;
    assert_eq!(count(&database, "select count(*) from messages").await, 3);
    assert_eq!(
        count(&database, "select count(*) from policy_log where error_code = 'validation_error'").await,
        7
    );
    assert!(server.asked("sendText").is_empty());
}

/// What is filled in is judged with the message: an advertisement in a parameter is stopped like one in the text, by a
/// send and by a dry check; purposes hold; a code may be in a parameter alone.
pub async fn a_template_is_judged_by_what_is_filled_in(services: &Services) {
    let scene = Scene::new(services).await;
    let check = async |body: &Value| {
        let url = format!("{}/api/check-message", scene.world.gateway_url());
        let request = scene.customer.http.post(url).bearer_auth(&scene.customer.key).json(body);
        answer(request).await.body
    };
    let harmless = scene.template("+966500050001", json!(["Sara"]));
    assert_eq!(check(&harmless).await["would_be"], Value::Null);
    let said = "Limited time offer: 50% off everything, buy one get one free, order now! https://bit.ly/x https://bit.ly/y";
    let mut open = harmless.clone();
    open["message"] = said.into();
    let mut hidden = harmless.clone();
    hidden["template"]["parameters"] = json!([said]);
    let refused = [scene.customer.send(&open).await, scene.customer.send(&hidden).await];
    assert!(refused.iter().all(|answer| answer.status != 202), "{refused:?}");
    assert_eq!(refused[0].error(), refused[1].error());
    assert_eq!(check(&hidden).await["would_be"]["error"], refused[1].error());

    let mut marketing = harmless.clone();
    marketing["message_purpose"] = "marketing".into();
    assert_eq!(scene.customer.send(&marketing).await.error(), "message_purpose_not_allowed");
    let mut code = harmless.clone();
    code["message_purpose"] = "authentication".into();
    code["message"] = "Your code is on its way.".into();
    code["template"]["parameters"] = json!([]);
    assert_ne!(scene.customer.send(&code).await.status, 202);
    code["template"]["parameters"] = json!(["482913"]);
    assert_eq!(scene.customer.send(&code).await.status, 202);
}

/// The same key with the same template is one message; with another parameter, or without the template, it is another body.
pub async fn a_template_is_part_of_the_body(services: &Services) {
    let scene = Scene::new(services).await;
    let body = scene.template("+966500050001", json!(["Sara"]));
    let send =
        async |body: &Value| answer(scene.customer.request(body).header("idempotency-key", "parcel-1")).await;
    let first = send(&body).await;
    let again = send(&body).await;
    assert_eq!((first.status, &first.text), (202, &again.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let mut other = body.clone();
    other["template"]["parameters"] = json!(["Sarah"]);
    assert_eq!(send(&other).await.error(), "idempotency_key_reused");
    other.as_object_mut().expect("an object").remove("template");
    assert_eq!(send(&other).await.error(), "idempotency_key_reused");
    scene.world.wait_for_status(&first.message_id(), &["sent"]).await;
    assert_eq!(scene.provider.calls().len(), 1);
}

/// A template that Meta does not have fails for good, and one that it holds back is sent until it says otherwise.
pub async fn a_template_that_is_refused_fails(services: &Services) {
    let scene = Scene::new(services).await;
    let database = scene.world.database().await;
    scene.provider.plan("+966500050001", Reply::error(404, 132_001));
    let held = json!({"messages": [{"id": "wamid.HELD==", "message_status": "held_for_quality_assessment"}]});
    scene.provider.plan("+966500050002", Reply::say(200, held));
    let missing = scene.customer.send(&scene.template("+966500050001", json!(["Sara"]))).await.message_id();
    let held = scene.customer.send(&scene.template("+966500050002", json!(["Sara"]))).await.message_id();
    scene.world.wait_for_status(&missing, &["failed"]).await;
    scene.world.wait_for_status(&held, &["sent"]).await;
    let mut dropped = crate::support::meta::status(&scene.customer, "wamid.HELD==", "failed", None);
    dropped["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"][0]["code"] = 132_015.into();
    scene.world.report(&database, &dropped).await;
    assert_eq!(life(&database, &held).await, "queued sending sent failed");
}
