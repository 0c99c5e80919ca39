//! A thousand requests of every kind, mixed, from outside the process: each gets the verdict that its kind must get.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer, id};

const REQUESTS: usize = 1_000;
const CALLERS: usize = 16;
/// Instances that advertise: few enough of it each that none is paused for it.
const ADVERTISERS: usize = 16;
const SUPPRESSED: &str = "+966500079999";
const UNDISTURBED: &str = "+966500079998";

/// The customers of the scene, in every state an account can be in.
struct Scene {
    world: World,
    shop: Customer,
    revoked: Customer,
    planless: Customer,
    without_api: Customer,
    day_used_up: Customer,
    month_used_up: Customer,
}

/// A kind of request: its name, the request, and what it must be answered.
type Kind = (&'static str, fn(&Scene, usize) -> Request, (u16, &'static str));

/// A request before it is sent.
struct Request {
    key: String,
    content_type: &'static str,
    body: String,
}

fn phone(n: usize) -> String {
    format!("+9665001{n:05}")
}

impl Scene {
    async fn new(services: &Services) -> Self {
        let world = World::new(services).await;
        let shop = world.customer().await;
        let account = async |plan: &str| {
            let made = world.admin(&["account", "create", "--name", "Other", "--plan", plan]).await;
            world.customer_of(id(&made), "50/s").await
        };
        let [planless, without_api] = [account("starter").await, account("starter").await];
        let [day_used_up, month_used_up] = [account("starter").await, account("starter").await];
        let made = world.admin(&["api-key", "create", "--account", &shop.account]).await;
        let revoked = Customer { key: made["secret"].as_str().expect("a key").to_owned(), ..shop.clone() };
        for command in [
            vec!["api-key", "revoke", "--account", &shop.account, "--id", &id(&made)],
            vec!["account", "set-plan", &planless.account, "--plan", "none"],
            vec!["account", "set-api-access", &without_api.account, "off"],
            vec!["account", "set-limits", &day_used_up.account, "--daily", "0"],
            vec!["account", "set-limits", &month_used_up.account, "--monthly", "0"],
            vec!["suppression", "add", "--account", &shop.account, "--phone", SUPPRESSED],
            vec![
                "suppression",
                "add",
                "--account",
                &shop.account,
                "--phone",
                UNDISTURBED,
                "--scope",
                "non-essential",
            ],
        ] {
            world.admin(&command).await;
        }
        let scene = Self { world, shop, revoked, planless, without_api, day_used_up, month_used_up };
        scene.instances().await;
        scene
    }

    async fn instances(&self) {
        let account = self.shop.account.as_str();
        let advertisers = (0..ADVERTISERS).map(|n| format!("ads-{n}"));
        for (n, name) in
            ["paused", "closed", "slow"].map(str::to_owned).into_iter().chain(advertisers).enumerate()
        {
            let number = format!("300{n}");
            let named = ["instance", "create", "--account", account, "--id", &name, "--name", &name];
            let provider = ["--provider", "sandbox", "--base-url", &self.world.sandbox_url];
            let number = ["--phone-number-id", &number, "--token-env", "SANDBOX_TOKEN"];
            self.world.admin(&[&named[..], &provider[..], &number[..]].concat()).await;
        }
        let of = |instance| ["--account", account, "--id", instance];
        self.world.admin(&[&["instance", "pause"], &of("paused")[..]].concat()).await;
        self.world.admin(&[&["instance", "set-connection"], &of("closed")[..], &["close"]].concat()).await;
        let late = "update pacing set next_at = now() + interval '1 hour' where instance_id = 'slow'";
        self.world.database().await.execute(late, &[]).await.expect("the schedule can be set");
    }

    async fn send(&self, request: Request) -> Answer {
        let url = format!("{}/api/send-message", self.shop.gateway_url);
        let asked = self.shop.http.post(url).bearer_auth(request.key);
        answer(asked.header("content-type", request.content_type).body(request.body)).await
    }
}

fn request(customer: &Customer, body: &Value) -> Request {
    Request { key: customer.key.clone(), content_type: "application/json", body: body.to_string() }
}

/// A name that no two have in common, without a digit.
fn name(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(b'a' + digit - b'0')).collect()
}

/// A message of the shop's to somebody of their own.
fn message(scene: &Scene, n: usize, purpose: &str, text: &str) -> Value {
    json!({"instance_id": scene.shop.instance, "phone": phone(n), "message": text, "message_purpose": purpose})
}

fn said(scene: &Scene, n: usize, purpose: &str, text: &str) -> Request {
    request(&scene.shop, &message(scene, n, purpose, text))
}

/// An ordinary message with one member changed.
fn with(scene: &Scene, n: usize, name: &str, value: Value) -> Request {
    let mut body = message(scene, n, "transactional", &format!("Your order {n} has been shipped."));
    body[name] = value;
    request(&scene.shop, &body)
}

fn advertised(scene: &Scene, n: usize, purpose: &str, text: &str) -> Request {
    let mut body = message(scene, n, purpose, &format!("{text} {n}"));
    body["instance_id"] = format!("ads-{}", n % ADVERTISERS).into();
    request(&scene.shop, &body)
}

const ACCEPTED: (u16, &str) = (202, "");

const ORDINARY: [Kind; 8] = [
    ("an invoice", |s, n| said(s, n, "transactional", &format!("Your invoice INV-{n} is ready.")), ACCEPTED),
    (
        "an appointment",
        |s, n| {
            said(
                s,
                n,
                "transactional",
                &format!("نذكركم بموعدكم رقم {n} في العيادة غدا الساعة العاشرة صباحا."),
            )
        },
        ACCEPTED,
    ),
    (
        "an alert",
        |s, n| said(s, n, "operational", &format!("Backup job {n} failed on the file server.")),
        ACCEPTED,
    ),
    (
        "a ticket",
        |s, n| {
            said(s, n, "support", &format!("Your ticket {n} was answered. Reply here if it is not solved."))
        },
        ACCEPTED,
    ),
    (
        "a task",
        |s, n| said(s, n, "internal_team", &format!("Purchase request {n} waits for your approval.")),
        ACCEPTED,
    ),
    (
        "a code",
        |s, n| said(s, n, "authentication", &format!("{} is your verification code.", 100_000 + n)),
        ACCEPTED,
    ),
    (
        "an Arabic code",
        |s, n| said(s, n, "authentication", &format!("رمز التحقق الخاص بك هو {}", 100_000 + n)),
        ACCEPTED,
    ),
    (
        "a lone undisturbed code",
        |s, n| {
            let mut body = message(s, n, "authentication", &format!("Your code is {}.", 100_000 + n));
            if n < ALL {
                body["phone"] = UNDISTURBED.into();
            }
            request(&s.shop, &body)
        },
        ACCEPTED,
    ),
];

const UNWANTED: [Kind; 5] = [
    (
        "an advertisement",
        |s, n| {
            advertised(
                s,
                n,
                "transactional",
                "MEGA SALE! Up to 70% off everything this weekend only. Shop now: https://bit.ly/x",
            )
        },
        (403, "policy_violation"),
    ),
    (
        "an Arabic advertisement",
        |s, n| {
            advertised(
                s,
                n,
                "support",
                "عروض حصرية! خصومات تصل إلى 70% على جميع المنتجات. تسوق الآن ووفر، العرض لفترة محدودة: https://bit.ly/x",
            )
        },
        (403, "policy_violation"),
    ),
    (
        "a disguised one",
        |s, n| {
            advertised(
                s,
                n,
                "operational",
                "M\u{200b}EGA S А L E! Up to 70% o.f.f everything this weekend only. Ｓhop n0w: https://bit.ly/x",
            )
        },
        (403, "policy_violation"),
    ),
    (
        "a code that is none",
        |s, n| said(s, n, "authentication", &format!("Dear {}, your parcel is on its way.", name(n))),
        (429, "sending_throttled"),
    ),
    (
        "a novel of a code",
        |s, n| {
            said(
                s,
                n,
                "authentication",
                &format!("Your code is {}. {}", 100_000 + n, "Keep it to yourself. ".repeat(20)),
            )
        },
        (429, "sending_throttled"),
    ),
];

const MISTAKEN: [Kind; 10] = [
    ("no purpose", |s, n| with(s, n, "message_purpose", Value::Null), (422, "message_purpose_required")),
    (
        "marketing",
        |s, n| with(s, n, "message_purpose", "marketing".into()),
        (422, "message_purpose_not_allowed"),
    ),
    (
        "an unknown purpose",
        |s, n| with(s, n, "message_purpose", "greeting".into()),
        (422, "message_purpose_not_allowed"),
    ),
    ("no phone", |s, n| with(s, n, "phone", "12".into()), (422, "validation_error")),
    ("an empty text", |s, n| with(s, n, "message", "  ".into()), (422, "validation_error")),
    (
        "an image",
        |s, n| with(s, n, "media_url", "https://example.com/a.png".into()),
        (422, "validation_error"),
    ),
    ("somebody's instance", |s, n| with(s, n, "instance_id", "nobodys".into()), (404, "invalid_instance")),
    (
        "no JSON",
        |s, _| Request { body: "{\"phone\":".to_owned(), ..request(&s.shop, &Value::Null) },
        (400, "invalid_json"),
    ),
    (
        "a form",
        |s, n| Request { content_type: "text/plain", ..with(s, n, "validity_seconds", 60.into()) },
        (415, "unsupported_media_type"),
    ),
    (
        "no key of ours",
        |s, n| Request { key: "gp_live_nobodys".to_owned(), ..with(s, n, "validity_seconds", 60.into()) },
        (401, "invalid_api_key"),
    ),
];

const HINDERED: [Kind; 10] = [
    ("a revoked key", |s, n| request(&s.revoked, &s.shop.message(&phone(n))), (401, "revoked_api_key")),
    ("no plan", |s, n| request(&s.planless, &s.shop.message(&phone(n))), (402, "active_plan_required")),
    ("no API", |s, n| request(&s.without_api, &s.shop.message(&phone(n))), (403, "module_not_enabled")),
    (
        "a used up day",
        |s, n| request(&s.day_used_up, &s.shop.message(&phone(n))),
        (429, "daily_message_limit_exceeded"),
    ),
    (
        "a used up month",
        |s, n| request(&s.month_used_up, &s.shop.message(&phone(n))),
        (429, "monthly_message_limit_exceeded"),
    ),
    ("a suppressed recipient", |s, n| with(s, n, "phone", SUPPRESSED.into()), (403, "recipient_suppressed")),
    (
        "an undisturbed recipient",
        |s, n| with(s, n, "phone", UNDISTURBED.into()),
        (403, "recipient_suppressed"),
    ),
    (
        "a paused instance",
        |s, n| with(s, n, "instance_id", "paused".into()),
        (423, "instance_paused_for_review"),
    ),
    ("a closed instance", |s, n| with(s, n, "instance_id", "closed".into()), (502, "gateway_send_failed")),
    ("a slow instance", |s, n| with(s, n, "instance_id", "slow".into()), (429, "sending_throttled")),
];

/// How many kinds there are: the first request of each kind has a number below it.
const ALL: usize = ORDINARY.len() + UNWANTED.len() + MISTAKEN.len() + HINDERED.len();

/// In an order that is the same in every run, a few at a time.
pub async fn verdicts_of_a_thousand_mixed_requests(services: &Services) {
    let scene = Scene::new(services).await;
    let _gateway = scene.world.start(Binary::Gateway).await;
    let kinds: Vec<&Kind> = ORDINARY.iter().chain(&UNWANTED).chain(&MISTAKEN).chain(&HINDERED).collect();
    let mut order: Vec<usize> = (0..REQUESTS).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(20_261_122));
    let next = AtomicUsize::new(0);
    let caller = async |_| {
        let mut got = Vec::new();
        while let Some(n) = order.get(next.fetch_add(1, Ordering::SeqCst)) {
            let (name, make, expected) = kinds[n % kinds.len()];
            let answer = scene.send(make(&scene, *n)).await;
            got.push((*name, *expected, (answer.status, answer.error().to_owned()), answer.text));
        }
        got
    };
    let got: Vec<_> = join_all((0..CALLERS).map(caller)).await.into_iter().flatten().collect();
    assert_eq!(got.len(), REQUESTS);
    let mut wrong = BTreeMap::<&str, (usize, String)>::new();
    for (name, expected, verdict, text) in &got {
        if (verdict.0, verdict.1.as_str()) != *expected {
            wrong.entry(name).or_insert((0, text.clone())).0 += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let authenticated = got.iter().filter(|(.., verdict, _)| !matches!(verdict.0, 401 | 415)).count();
    let logged = count(&scene.world.database().await, "select count(*) from policy_log").await;
    assert_eq!(usize::try_from(logged), Ok(authenticated), "each decision past authentication is logged");
}
