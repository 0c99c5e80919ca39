//! What operators see of the whole: metrics, the list of them, the dashboard, the alerts.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::files::{Listed, alerts, listed, panels, queries, readme, runbook};
use crate::support::eventually;
use crate::support::exposition::{Exposition, Sample, at_least};
use crate::support::process::{Binary, Process};
use crate::support::proxy::Proxy;
use crate::support::services::Services;
use crate::support::world::World;

/// The words of the README for every binary.
const PROCESSES: [(&str, Binary); 4] = [
    ("gateway", Binary::Gateway),
    ("deliver", Binary::Deliver),
    ("notify", Binary::Notify),
    ("sweep", Binary::Sweep),
];

/// More would be a label whose values are not a few fixed words.
const MOST_SERIES: usize = 100;

/// After the life of two messages every process exports what the README lists for it, with the labels it lists, described and
/// well named; nothing else; and no value of a label is more than a word.
pub async fn metrics_are_those_of_the_readme(services: &Services) {
    let world = World::new(services).await;
    let processes = lived(&world).await;
    let told = told(&processes).await;
    let listed = listed(&readme());
    for (process, exposition) in &told {
        let expected: BTreeSet<&str> =
            listed.iter().filter(|metric| metric.is_of(process)).map(|metric| metric.name.as_str()).collect();
        let exported: BTreeSet<&str> = exposition.0.keys().map(String::as_str).collect();
        assert_eq!(exported, expected, "{process} exports what the README lists");
        for metric in listed.iter().filter(|metric| metric.is_of(process)) {
            assert_well_told(process, metric, exposition);
        }
        let series = exposition.0.values().flat_map(|family| &family.samples);
        let series: Vec<&Sample> = series.filter(|sample| !sample.labels.contains_key("le")).collect();
        assert!(series.len() <= 3 * MOST_SERIES, "{process} exports {} series", series.len());
    }
}

/// A customer's two messages, read and told; with what they leave in the processes' metrics.
async fn lived(world: &World) -> Vec<Process> {
    let processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let code = customer.send(&customer.code("+966500010001")).await;
    assert_eq!(code.status, 202, "{}", code.text);
    let invoice = customer.accepted("+966500020001").await;
    for message in [&code.message_id(), &invoice] {
        world.wait_for_status(message, &["read"]).await;
    }
    eventually("both are told", async || (receiver.events("message.read").len() == 2).then_some(())).await;
    let [gateway, deliver, notify, sweep] = processes.as_slice() else { panic!("one of each") };
    for (process, name, labels, least) in [
        (gateway, "gatepost_sends_total", &[("outcome", "accepted")][..], 2.0),
        (gateway, "gatepost_accept_seconds_count", &[], 2.0),
        (gateway, "gatepost_stage_seconds_count", &[("stage", "commit")], 2.0),
        (gateway, "gatepost_stage_batch_size_sum", &[("stage", "commit")], 2.0),
        (gateway, "gatepost_stage_seconds_count", &[("stage", "callback_store")], 2.0),
        (gateway, "gatepost_stage_batch_size_sum", &[("stage", "callback_apply")], 2.0),
        (gateway, "gatepost_callbacks_total", &[("provider", "meta"), ("outcome", "taken")], 2.0),
        (gateway, "gatepost_publish_seconds_count", &[("queue", "deliver.priority")], 1.0),
        (deliver, "gatepost_stage_seconds_count", &[("stage", "look")], 1.0),
        (deliver, "gatepost_stage_batch_size_sum", &[("stage", "claim")], 2.0),
        (deliver, "gatepost_stage_batch_size_sum", &[("stage", "begin")], 2.0),
        (deliver, "gatepost_stage_batch_size_sum", &[("stage", "record")], 2.0),
        (deliver, "gatepost_claims_total", &[("step", "attempt")], 2.0),
        (deliver, "gatepost_pacing_wait_seconds_count", &[("lane", "standard")], 1.0),
        (deliver, "gatepost_first_call_lag_seconds_count", &[("lane", "priority")], 1.0),
        (deliver, "gatepost_provider_call_seconds_count", &[("provider", "sandbox")], 2.0),
        (deliver, "gatepost_attempts_total", &[("provider", "sandbox"), ("outcome", "accepted")], 2.0),
        (notify, "gatepost_stage_batch_size_sum", &[("stage", "webhook_claim")], 12.0),
        (notify, "gatepost_stage_batch_size_sum", &[("stage", "webhook_record")], 12.0),
        (notify, "gatepost_webhook_attempts_total", &[("outcome", "delivered")], 12.0),
        (notify, "gatepost_webhook_lag_seconds_count", &[], 12.0),
        (notify, "gatepost_webhook_delivery_lag_seconds_count", &[], 12.0),
        (sweep, "gatepost_sweep_rounds_total", &[("led", "yes")], 1.0),
        (sweep, "gatepost_instances", &[("state", "open")], 1.0),
    ] {
        at_least(process, name, labels, least).await;
    }
    for process in &processes {
        at_least(process, "gatepost_pool_wait_seconds_count", &[], 1.0).await;
        at_least(process, "gatepost_build_info", &[], 1.0).await;
    }
    let lag = Exposition::of(notify).await.sum("gatepost_webhook_lag_seconds_sum", &[]);
    assert!(lag.is_some_and(|lag| lag < 12.0 * 5.0), "told within moments, in seconds: {lag:?}");
    processes
}

async fn told(processes: &[Process]) -> BTreeMap<&'static str, Exposition> {
    let mut told = BTreeMap::new();
    for (name, binary) in PROCESSES {
        let process = processes.iter().find(|process| process.binary == binary).expect("one of each");
        told.insert(name, Exposition::of(process).await);
    }
    told
}

fn assert_well_told(process: &str, metric: &Listed, exposition: &Exposition) {
    let (name, family) = (&metric.name, &exposition.0[&metric.name]);
    assert!(!family.help.is_empty(), "{process} describes {name}");
    assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
    let unit = ["_total", "_seconds", "_size", "_info"].iter().any(|unit| name.ends_with(unit));
    assert!(family.kind == "gauge" || unit, "{name} ends in its unit");
    assert!(family.kind != "summary", "{name} can be added up over processes");
    assert!(family.samples.len() <= MOST_SERIES * 20, "{name} has few series");
    let mut known = BTreeSet::new();
    for Sample { name: line, labels, .. } in &family.samples {
        let own: BTreeSet<&str> = labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(own, metric.labels.iter().map(String::as_str).collect(), "the labels of {name}");
        for (label, value) in labels.iter().filter(|(label, _)| !["le", "version"].contains(&label.as_str()))
        {
            let word = value.len() <= 40
                && value.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | ' '));
            assert!(word, "{name}: {label} is {value}, which may name somebody");
        }
        assert!(known.insert((line.clone(), labels.clone())), "{name} tells {labels:?} once");
    }
}

/// What the dashboard and the alerts ask for is exported, with the labels and their values, after a life.
pub async fn queries_find_what_they_ask_for(services: &Services) {
    let world = World::new(services).await;
    let processes = lived(&world).await;
    let told = told(&processes).await;
    let shown: Vec<(String, String)> = panels()
        .into_iter()
        .flat_map(|panel| panel.queries.into_iter().map(move |query| (panel.title.clone(), query)))
        .chain(alerts().into_iter().map(|alert| (alert.name, alert.expression)))
        .collect();
    assert!(shown.len() > 80, "the files were read");
    for (place, expression) in &shown {
        for asked in queries(expression) {
            let samples = || {
                let families = told.values().filter_map(|exposition| exposition.0.get(asked.family(&told)));
                families.flat_map(|family| &family.samples).filter(|sample| sample.name == asked.name)
            };
            assert!(samples().next().is_some(), "{place}: nobody exports {}", asked.name);
            for (label, value) in &asked.matchers {
                let found = samples().any(|sample| sample.labels.get(label) == Some(value));
                assert!(found, "{place}: {} has no {label} {value:?}", asked.name);
            }
            for label in asked.grouped.iter().filter(|label| !["job", "instance"].contains(&label.as_str())) {
                let found = samples().any(|sample| sample.labels.contains_key(label));
                assert!(found, "{place}: {} has no label {label}", asked.name);
            }
        }
    }
    let everything = shown.iter().map(|(_, expression)| expression.as_str()).collect::<String>();
    let unseen: Vec<&String> =
        told.values().flat_map(|e| e.0.keys()).filter(|name| !everything.contains(name.as_str())).collect();
    assert!(unseen.is_empty(), "on no panel and in no alert: {unseen:?}");
}

/// What waits is measured: due messages by lane, unknown outcomes, instances that cannot send, webhooks, and callbacks that no
/// gateway applies.
pub async fn measures_what_waits(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_ACCEPT_DUE_MS", 1);
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let suspect = world.customer().await;
    let paused = world.customer().await;
    let first = customer.accepted("+966500020001").await;
    customer.accepted("+966500020002").await;
    assert_eq!(customer.send(&customer.code("+966500010001")).await.status, 202);
    let (account, instance) = (&suspect.account, &suspect.instance);
    world.admin(&["instance", "set-connection", "--account", account, "--id", instance, "suspect"]).await;
    world.admin(&["instance", "pause", "--account", &paused.account, "--id", &paused.instance]).await;
    let unknown = "update messages set status = 'unknown', due_at = now() + interval '1 hour'
                   where message_id = $1::text::uuid";
    let database = world.database().await;
    database.execute(unknown, &[&first]).await.expect("it can be changed");
    drop(gateway);
    let waiting = "insert into webhook_deliveries (account_id, event_id, endpoint_id, due_at)
                       values (1, first_id_of(now()), gen_random_uuid(), now() + interval '1 hour');
                   insert into callbacks (account_id, body_hash, provider, body, due_at)
                       values (1, 'hash', 'meta', '{}', now() - interval '30 seconds')";
    database.batch_execute(waiting).await.expect("they can be made");

    let sweep = world.start(Binary::Sweep).await;
    let lane = |lane| [("lane", lane)];
    // The last of a round.
    at_least(&sweep, "gatepost_measured_timestamp_seconds", &[], 1.0).await;
    let state = |state| [("state", state)];
    let measured = Exposition::of(&sweep).await;
    for (name, labels, expected) in [
        ("gatepost_messages_due", lane("standard"), 1.0),
        ("gatepost_messages_due", lane("priority"), 1.0),
        ("gatepost_messages_backlog", lane("standard"), 2.0),
        ("gatepost_messages_backlog", lane("priority"), 1.0),
        ("gatepost_instances", state("open"), 1.0),
        ("gatepost_instances", state("suspect"), 1.0),
        ("gatepost_instances", state("paused"), 1.0),
        ("gatepost_instances", state("close"), 0.0),
    ] {
        assert_eq!(measured.sum(name, &labels), Some(expected), "{name} {labels:?}");
    }
    for (name, expected) in [
        ("gatepost_messages_unknown", 1.0),
        ("gatepost_webhooks_due", 0.0),
        ("gatepost_webhooks_backlog", 1.0),
        ("gatepost_callbacks_due", 1.0),
    ] {
        assert_eq!(measured.sum(name, &[]), Some(expected), "{name}");
    }
    let overdue = measured.sum("gatepost_messages_oldest_due_seconds", &lane("priority"));
    assert!(overdue.is_some_and(|seconds| seconds > 0.0 && seconds < 60.0), "{overdue:?}");
    let callback = measured.sum("gatepost_callbacks_oldest_due_seconds", &[]);
    assert!(callback.is_some_and(|seconds| seconds > 30.0 && seconds < 90.0), "{callback:?}");
}

/// What fails is counted where it fails: sends that are answered with an error of ours, tries of the stage, and waits for a
/// connection to a database that is away.
pub async fn counts_what_fails(services: &Services) {
    let mut world = World::new(services).await;
    let mut proxy = Proxy::to_database(&mut world).await;
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    customer.accepted("+966500020001").await;
    let mut database = world.database().await;
    let held = database.transaction().await.expect("it begins");
    held.execute("select from quota_usage for update", &[]).await.expect("nobody else is there");
    let refused = customer.send(&customer.message("+966500020002")).await;
    assert_eq!((refused.status, refused.error()), (500, "internal_error"));
    drop(held);
    proxy.cut().await;
    // While it is away, somebody asks for a new connection at least each second.
    for (name, labels) in [
        ("gatepost_sends_total", ("outcome", "internal_error")),
        ("gatepost_stage_failures_total", ("stage", "commit")),
        ("gatepost_pool_failures_total", ("reason", "connect")),
    ] {
        at_least(&gateway, name, &[labels], 1.0).await;
    }
    let told = Exposition::of(&gateway).await;
    assert_eq!(told.sum("gatepost_sends_total", &[("outcome", "accepted")]), Some(1.0));
    assert_eq!(told.sum("gatepost_pool_failures_total", &[("reason", "busy")]), Some(0.0));
}

/// Every panel of the dashboard has a unit, says what it shows, and asks the data source that is chosen; every stage has a row.
pub fn panels_have_units_and_words() {
    let panels = panels();
    assert!(panels.len() > 40, "the dashboard was read");
    for panel in &panels {
        assert!(!panel.unit.is_empty() && !panel.description.is_empty(), "{}", panel.title);
        assert_eq!(panel.source, "${datasource}", "{}", panel.title);
        assert!(!panel.queries.is_empty(), "{}", panel.title);
        let seconds = panel.queries.iter().any(|query| query.contains("_seconds_bucket"));
        assert!(!seconds || panel.unit == "s", "{} shows seconds", panel.title);
    }
}

/// Every alert waits before it fires, has a severity and a summary, and the README says what to do; and the README speaks of
/// no other.
pub fn alerts_say_what_to_do() {
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "no two have one name");
    let told = runbook(&readme());
    let expected: BTreeMap<&str, &str> =
        alerts.iter().map(|alert| (alert.name.as_str(), alert.severity.as_str())).collect();
    let told: BTreeMap<&str, &str> =
        told.iter().map(|(name, severity)| (name.as_str(), severity.as_str())).collect();
    assert_eq!(told, expected, "the README's alerts and their severities");
    for alert in &alerts {
        assert!(alert.waits >= Duration::from_secs(60), "{} waits", alert.name);
        assert!(["critical", "warning"].contains(&alert.severity.as_str()), "{}", alert.name);
        assert!(!alert.summary.is_empty(), "{}", alert.name);
        assert_eq!(alert.runbook, format!("README: Alerts, {}", alert.name));
    }
}
