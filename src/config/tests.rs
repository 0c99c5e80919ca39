use super::{Config, Environment};
use proptest::prelude::{prop_assert, proptest};

proptest! {
    #[test]
    fn no_setting_makes_it_panic_and_numbers_are_within_their_bounds(
        text in r"\PC{0,40}|-?[0-9]{1,22}|[0-9./,:]{1,40}", which in 0..SETTINGS.len()
    ) {
        if let Ok(config) = read(&[(SETTINGS[which], Some(&text))]) {
            prop_assert!((1..=10_000).contains(&config.database_connections));
            prop_assert!((1..=10_000).contains(&config.wrong_keys_per_minute));
            prop_assert!(config.lease.as_millis() >= 1 && config.lease.as_secs() <= 86_400);
            prop_assert!(config.keep_texts_days >= 7 && config.keep_rows_days >= config.keep_texts_days);
            prop_assert!(config.queue_prefix.is_ascii() && config.queue_prefix.len() <= 64);
            let shown = format!("{config:?}");
            prop_assert!(SETTINGS[which] != "GATEPOST_META_APP_SECRET" || text.len() < 12 || !shown.contains(&text));
        } else {
            prop_assert!(SETTINGS[which] != "GATEPOST_META_APP_SECRET");
        }
    }
}

/// One setting of each kind.
const SETTINGS: [&str; 11] = [
    "GATEPOST_SECRET_KEY",
    "GATEPOST_LISTEN",
    "GATEPOST_OPS_LISTEN",
    "GATEPOST_QUEUE_PREFIX",
    "GATEPOST_META_APP_SECRET",
    "GATEPOST_TRUSTED_PROXIES",
    "GATEPOST_ENV",
    "GATEPOST_DATABASE_CONNECTIONS",
    "GATEPOST_LEASE_MS",
    "GATEPOST_WRONG_KEYS_PER_MINUTE",
    "GATEPOST_KEEP_TEXTS_DAYS",
];

fn read(changes: &[(&str, Option<&str>)]) -> Result<Config, String> {
    let lookup = |name: &str| match changes.iter().find(|(changed, _)| *changed == name) {
        Some((_, value)) => value.map(str::to_owned),
        None => match name {
            "DATABASE_URL" => Some("postgres://u:secret-pw@h/d".into()),
            "AMQP_URL" => Some("amqp://h".into()),
            "GATEPOST_SECRET_KEY" => Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()),
            _ => None,
        },
    };
    Config::read(&lookup).map_err(|error| error.to_string())
}

#[test]
fn three_settings_are_enough_and_production_is_the_default() {
    let config = read(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.environment, Environment::Production);
    assert!(!format!("{config:?}").contains("secret-pw"));
}

#[test]
fn a_bad_setting_is_named() {
    let cases = [
        ("DATABASE_URL", None),
        ("AMQP_URL", None),
        ("GATEPOST_SECRET_KEY", None),
        ("GATEPOST_SECRET_KEY", Some("short")),
        ("GATEPOST_LISTEN", Some("8080")),
        ("GATEPOST_OPS_LISTEN", Some("x")),
        ("GATEPOST_QUEUE_PREFIX", Some("a b")),
        ("GATEPOST_WEBHOOK_ALLOW", Some("127.0.0.1/99")),
        ("GATEPOST_TRUSTED_PROXIES", Some("10.0.0.0/8,proxy")),
        ("GATEPOST_WRONG_KEYS_PER_MINUTE", Some("0")),
        ("GATEPOST_ENV", Some("staging")),
        ("GATEPOST_DATABASE_CONNECTIONS", Some("0")),
        ("GATEPOST_PROVIDER_TIMEOUT_MS", Some("-1")),
        ("GATEPOST_KEEP_TEXTS_DAYS", Some("6")),
        ("GATEPOST_KEEP_ROWS_DAYS", Some("29")),
        ("GATEPOST_KEEP_ROWS_DAYS", Some("forever")),
        ("GATEPOST_CODES_PER_DAY", Some("0")),
        ("GATEPOST_KEY_REFUSALS_PER_SECOND", Some("many")),
    ];
    for (name, value) in cases {
        let error = read(&[(name, value)]).unwrap_err();
        assert!(error.starts_with(name), "{name}: {error}");
    }
}
