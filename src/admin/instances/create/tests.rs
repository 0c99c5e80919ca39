use super::{AdminError, Create, Settled};
use crate::config::Environment::{self, Development, Production};
use crate::domain::instance::Provider;

fn create(provider: Provider) -> Create {
    Create {
        account: 7,
        id: "shop".into(),
        name: "Shop".into(),
        provider,
        base_url: None,
        phone_number_id: Some("10955".into()),
        provider_instance: None,
        token_env: None,
        rate: None,
    }
}

fn evolution() -> Create {
    Create {
        base_url: Some("http://evo.example:8080/".parse().unwrap()),
        phone_number_id: None,
        provider_instance: Some("shop-main".into()),
        ..with_token(Provider::Evolution)
    }
}

fn with_token(provider: Provider) -> Create {
    Create { token_env: Some("TOKEN".into()), ..create(provider) }
}

fn settle(new: &Create, environment: Environment) -> Result<Settled, String> {
    let lookup = |name: &str| match name {
        "TOKEN" => Some("t0ken\n".to_owned()),
        "PHRASE" => Some("two words".to_owned()),
        _ => None,
    };
    new.settle(environment, &lookup).map_err(|error| match error {
        AdminError::Arguments(problem) => problem,
        other => panic!("{other}"),
    })
}

fn settled(base_url: &str, token: &str) -> Result<Settled, String> {
    Ok(Settled { base_url: base_url.into(), token: token.into() })
}

#[test]
fn what_is_not_given_has_a_default() {
    let meta = settled("https://graph.facebook.com/v23.0", "t0ken");
    assert_eq!(settle(&with_token(Provider::Meta), Production), meta);
    let sandbox = settled("http://127.0.0.1:8090/v23.0", "sandbox");
    assert_eq!(settle(&create(Provider::Sandbox), Development), sandbox);
}

#[test]
fn an_address_without_a_path_gets_the_version() {
    let cases = [
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v23.0"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/v23.0"),
        ("http://127.0.0.1:9/v99.0/", "http://127.0.0.1:9/v99.0"),
        ("https://h.example/a/b", "https://h.example/a/b"),
    ];
    for (given, stored) in cases {
        let new = Create { base_url: Some(given.parse().unwrap()), ..create(Provider::Sandbox) };
        assert_eq!(settle(&new, Development), settled(stored, "sandbox"), "{given}");
    }
}

#[test]
fn an_evolution_server_is_taken_as_it_is() {
    assert_eq!(settle(&evolution(), Development), settled("http://evo.example:8080", "t0ken"));
    let below = Create { base_url: Some("https://h.example/evo".parse().unwrap()), ..evolution() };
    assert_eq!(settle(&below, Production), settled("https://h.example/evo", "t0ken"));
}

#[test]
fn what_does_not_fit_an_evolution_server_is_named() {
    let nameless = Create { provider_instance: None, ..evolution() };
    let homeless = Create { base_url: None, ..evolution() };
    let numbered = Create { phone_number_id: Some("10955".into()), ..evolution() };
    let keyless = Create { token_env: None, ..evolution() };
    let misplaced = Create { provider_instance: Some("x".into()), ..with_token(Provider::Meta) };
    let cases = [
        (nameless, Development, "--provider-instance is required"),
        (homeless, Development, "--base-url is required"),
        (numbered, Development, "--phone-number-id"),
        (keyless, Development, "--token-env"),
        (evolution(), Production, "must be https"),
        (misplaced, Production, "--provider-instance"),
    ];
    for (new, environment, named) in cases {
        let problem = settle(&new, environment).unwrap_err();
        assert!(problem.contains(named), "{named}: {problem}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let plain =
        Create { base_url: Some("http://h.example/v1".parse().unwrap()), ..with_token(Provider::Meta) };
    let unset = Create { token_env: Some("NOT_THERE".into()), ..create(Provider::Meta) };
    let phrase = Create { token_env: Some("PHRASE".into()), ..create(Provider::Sandbox) };
    let numberless = Create { phone_number_id: None, ..create(Provider::Sandbox) };
    let cases = [
        (create(Provider::Sandbox), Production, "--provider sandbox"),
        (plain, Production, "--base-url"),
        (create(Provider::Meta), Development, "--token-env"),
        (unset, Development, "NOT_THERE"),
        (phrase, Development, "PHRASE"),
        (numberless, Development, "--phone-number-id"),
    ];
    for (new, environment, named) in cases {
        let problem = settle(&new, environment).unwrap_err();
        assert!(problem.contains(named), "{named}: {problem}");
    }
}
