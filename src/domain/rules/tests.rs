use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Counter, Rules, action, score};
use crate::domain::purpose::Purpose;
use crate::domain::refusal::Action;

const FILE: &str = r#"
version = "1"

[phrases]
offer = ["discount", "9% off", "خصم", "free gift"]
known = ["your invoice"]
start = ["unsubscribe"]

[[wording]]
points = 200
phrases = ["buy now", "shop"]

[[wording]]
points = -100
phrases = ["your order", "invoice 9"]

[[rule]]
id = "offer"
weight = 40
purposes = ["transactional", "support"]
any_of = ["offer"]
unless = ["known"]

[[rule]]
id = "offers"
weight = 30
purposes = ["all"]
any_of = ["offer"]
at_least = 2

[[rule]]
id = "regex"
weight = 10
purposes = ["all"]
regex = "^order [0-9]+$"

[[rule]]
id = "burst"
weight = 100
purposes = ["authentication"]
counter = "same_text"
at_least = 3
window = "10m"

[[rule]]
id = "wording"
weight = 15
purposes = ["support"]
wording = 50

[[rule]]
id = "spelled"
weight = 15
purposes = ["operational"]
spelled = 6

[[rule]]
id = "hidden"
weight = 15
purposes = ["operational"]
hidden = 2

[[rule]]
id = "start"
weight = 5
purposes = ["all"]
all_of = ["start"]
"#;

fn fired(rules: &Rules, text: &str, purpose: Purpose) -> Vec<String> {
    rules.read(text, purpose).signals.iter().map(|signal| signal.rule.to_string()).collect()
}

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::parse(FILE).expect("good"));

fn rules() -> &'static Rules {
    &RULES
}

#[test]
fn phrases_are_found_however_they_are_spelled() {
    let rules = rules();
    for text in [
        "a DISCOUNT for you",
        "discounts!",
        "d i s c o u n t",
        "d.i.s.c.o.u.n.t",
        "dis\u{200b}count",
        "dіѕсоunt",
        "d1sc0unt",
        "discoooount",
        "dis-count",
        "𝗱𝗶𝘀𝗰𝗼𝘂𝗻𝘁",
        "now d i s c o u n t t o d a y",
        "50% off",
        "٥٠٪ off",
        "خصم",
        "والخصم",
        "بخصم",
        "خصومات خصمكم",
        "خَـــصْـم",
        "خ ص م",
        "خ.ص.م",
        "fr33 g1ft",
        "FREE-GIFT",
    ] {
        assert_eq!(fired(rules, text, Purpose::Support), ["offer"], "{text}");
    }
    for text in ["", "discounted", "discoun t", "خصوم", "free of charge, a gift", "% off", "50%"] {
        assert!(fired(rules, text, Purpose::Support).is_empty(), "{text}");
    }
    assert_eq!(fired(rules, "to unsubscribe", Purpose::Support), ["start"]);
}

#[test]
fn conditions_hold_together() {
    let rules = rules();
    assert_eq!(fired(rules, "discount, a free gift", Purpose::Support), ["offer", "offers"]);
    assert_eq!(fired(rules, "discount, a free gift", Purpose::Operational), ["offers"]);
    assert!(fired(rules, "discount on your invoice", Purpose::Support).is_empty());
    assert_eq!(fired(rules, "Order: 41", Purpose::InternalTeam), ["regex"]);
}

#[test]
fn the_wording_is_the_sum_of_what_speaks_for_and_against() {
    let rules = rules();
    for (text, points) in [
        ("buy now", Some(89)),             // 200 / √5
        ("buy now buy now now", Some(71)), // once
        ("b.u.y n0w", Some(67)),           // dots inside a word count
        ("buy now, then shop", Some(151)),
        ("buy now against your order", None),
        ("shop, your orders, invoice 77 of today", None),
        ("now buy, your shopping", None),
        ("", None),
    ] {
        let reading = rules.read(text, Purpose::Support);
        let fact =
            reading.signals.iter().find(|signal| &*signal.rule == "wording").map(|signal| signal.facts[0]);
        assert_eq!(fact, points.map(|points| ("wording", points)), "{text}");
    }
}

#[test]
fn writing_that_hides_words_is_told() {
    for (text, expected) in [
        ("D I S C O U N T", &["spelled"][..]),
        ("the U.S.A. and a b c d e", &[]),
        ("s\u{200b}ale, dіscount", &["hidden"]),
        ("s\u{200b}ale", &[]),
    ] {
        let fired = fired(rules(), text, Purpose::Operational);
        let fired: Vec<&str> = fired.iter().map(String::as_str).filter(|rule| *rule != "offers").collect();
        assert_eq!(fired, expected, "{text}");
    }
}

#[test]
fn a_signal_tells_numbers_and_nothing_of_the_text() {
    let reading = rules().read("DISCOUNT and a free gift", Purpose::Support);
    let json = serde_json::to_string(&reading.signals[0]).expect("JSON");
    assert_eq!(json, r#"{"rule":"offer","weight":40,"facts":{"matches":2}}"#);
    assert_eq!(reading.identity, "discountandafreegift");
}

#[test]
fn counters_fire_from_their_number_on() {
    let rules = rules();
    assert_eq!(rules.counters(Purpose::Support).count(), 0);
    let counter = rules.counters(Purpose::Authentication).next().expect("one");
    assert_eq!((counter.counter, counter.window), (Counter::SameText, Duration::from_secs(600)));
    assert!(counter.signal(2).is_none());
    let signal = counter.signal(3).expect("fires");
    assert_eq!(signal.facts, [("count", 3), ("at_least", 3), ("window_seconds", 600)]);
    assert_eq!(action(score(&[signal])), Action::PauseInstance);
    assert_eq!(rules.all_counters().len(), 1);
}

#[test]
fn the_first_fault_is_told_with_its_line_and_rule() {
    for (from, to, message) in [
        ("weight = 40", "weight = 101", "line 19, rule \"offer\": weight must be 1 to 100"),
        ("weight = 40", "weight = 0", "line 19, rule \"offer\": weight must be 1 to 100"),
        ("id = \"offers\"", "id = \"offer\"", "line 25, rule \"offer\": id is used by an earlier rule"),
        (
            "unless = [\"known\"]",
            "unless = [\"x\"]",
            "line 22, rule \"offer\": there is no phrase list \"x\"",
        ),
        (
            "\"support\"",
            "\"suport\"",
            "line 20, rule \"offer\": unknown purpose: one of transactional, operational, support, internal_team, authentication or all is meant",
        ),
        ("[\"transactional\", \"support\"]", "[]", "line 20, rule \"offer\": at least one purpose is needed"),
        (
            "\"same_text\"",
            "\"texts\"",
            "line 41, rule \"burst\": unknown counter: one of same_text, new_recipients, blocked is meant",
        ),
        ("\"10m\"", "\"2d\"", "line 43, rule \"burst\": window must be 1s to 1d, such as \"10m\""),
        (
            "window = \"10m\"",
            "window = \"10m\"\n[[rule]]\nid = \"more\"\nweight = 9\npurposes = [\"all\"]\ncounter = \"same_text\"\nat_least = 9\nwindow = \"1h\"",
            "line 48, rule \"more\": another window than that of rule \"burst\"",
        ),
        ("window = \"10m\"", "", "line 41, rule \"burst\": a counter needs a window"),
        ("at_least = 3", "at_least = 1001", "line 42, rule \"burst\": at_least must be 1 to 1000"),
        ("at_least = 3", "", "line 41, rule \"burst\": a counter needs at_least"),
        ("points = 200", "points = 20000", "line 10: points must be -10000 to 10000"),
        ("\"shop\"]", "\"9.\"]", "line 11: a phrase must be more than numbers and punctuation"),
        ("[\"your invoice\"]", "[]", "line 6: the phrase list is empty"),
        ("\"your invoice\"", "\"42!\"", "line 6: a phrase must be more than numbers and punctuation"),
        ("all_of = [\"start\"]", "", "line 63, rule \"start\": no matcher"),
        ("all_of", "all_off", "line 67, rule \"start\": unknown field `all_off`"),
        ("version = \"1\"", "version = \"\"", "line 2: version must not be empty"),
        ("\"^order [0-9]+$\"", "\"(\"", "line 35, rule \"regex\": the regular expression is no good"),
        (
            "\"^order [0-9]+$\"",
            "\"(a{999}){999}\"",
            "line 35, rule \"regex\": the regular expression is no good",
        ),
    ] {
        let file = FILE.replacen(from, to, 1);
        let error =
            Rules::parse(&file).err().unwrap_or_else(|| panic!("{from} -> {to} is refused")).to_string();
        assert!(error.starts_with(message), "{error}");
    }
    assert!(Rules::parse("").is_err());
}

#[test]
fn the_built_in_counters_are_the_decided_ones() {
    let rules = Rules::builtin();
    assert!(!rules.version().is_empty());
    for (purpose, counts) in [
        (Purpose::Transactional, [20, 40, 80]),
        (Purpose::Support, [20, 40, 80]),
        (Purpose::Operational, [30, 60, 120]),
        (Purpose::InternalTeam, [60, 120, 240]),
        (Purpose::Authentication, [10, 20, 40]),
    ] {
        let same: Vec<_> = rules.counters(purpose).filter(|rule| rule.counter == Counter::SameText).collect();
        let found: Vec<_> = same.iter().map(|rule| (rule.at_least, rule.weight)).collect();
        assert_eq!(found, counts.into_iter().zip([65, 90, 100]).collect::<Vec<_>>(), "{purpose:?}");
        assert!(same.iter().all(|rule| rule.window == Duration::from_secs(3600)));
        let others = rules.counters(purpose).filter(|rule| rule.counter != Counter::SameText);
        let others: Vec<_> =
            others.map(|rule| (rule.counter, rule.at_least, rule.weight, rule.window.as_secs())).collect();
        assert_eq!(others, [(Counter::NewRecipients, 300, 65, 600), (Counter::Blocked, 10, 100, 3600)]);
    }
}

#[test]
fn a_code_is_short_and_has_a_code() {
    let rules = Rules::builtin();
    let judge = |text: &str| score(&rules.read(text, Purpose::Authentication).signals);
    assert!(judge("482913 is your Nabd Clinic code. Do not share it.") < 65);
    assert!(judge("Please call me back") >= 65);
    let long =
        format!("482913 is your code. {}", "It works for the order you began this morning. ".repeat(7));
    assert!(judge(&long) >= 65);
    assert!(score(&rules.read("Please call me back", Purpose::Support).signals) < 65);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in any::<String>(), purpose in 0_usize..5) {
        let rules = rules();
        let reading = rules.read(&text, Purpose::ALL[purpose]);
        prop_assert_eq!(&reading.identity, &rules.read(&text, Purpose::ALL[purpose]).identity);
        prop_assert!(score(&reading.signals) <= 90);
    }

    #[test]
    fn tricks_and_scripts_do_not_make_reading_panic(text in "([a-z0-9 .%$@!|]|خصم|[أ-ي]|\\PC){0,80}") {
        let rules = rules();
        let found = rules.read(&text, Purpose::Support);
        let more = rules.read(&format!("{text} discount"), Purpose::Support);
        prop_assert!(score(&found.signals) <= score(&more.signals) || found.signals.len() > more.signals.len());
    }
}
