//! The product from outside: real processes, a real Postgres, a real RabbitMQ, a real provider and a real webhook
//! receiver. One binary, because each further one would link everything again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read the clock and the environment where the product may not"
)]

mod admin;
mod architecture;
mod delivery;
mod durability;
mod life;
mod pacing;
mod schema;
mod support;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::services::Services;

/// Tests that are given the shared servers.
macro_rules! with_services {
    ($handle:expr, $services:expr, $($module:ident :: $name:ident),+ $(,)?) => {
        vec![$({
            let (handle, services) = ($handle.clone(), Arc::clone(&$services));
            let name = concat!(stringify!($module), "::", stringify!($name));
            Trial::test(name, move || {
                handle.block_on(async { $module::$name(services.get().await).await });
                Ok(())
            })
        }),+]
    };
}

/// Tests that need nothing.
macro_rules! alone {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// The shared servers, started with the first test that needs them.
struct Shared(tokio::sync::OnceCell<Services>);

impl Shared {
    async fn get(&self) -> &Services {
        self.0
            .get_or_init(|| async {
                let services = Services::start().await;
                eprintln!("services: {}", services.way());
                services
            })
            .await
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    drop(rustls::crypto::ring::default_provider().install_default());
    let services = Arc::new(Shared(tokio::sync::OnceCell::new()));
    let handle = runtime.handle().clone();
    let mut tests = alone![architecture::floors_point_down, architecture::sql_and_lapin_have_one_home];
    tests.extend(with_services![
        handle,
        services,
        life::life_of_two_messages,
        life::life_of_an_opt_out,
        life::life_has_no_marketing,
        schema::schema_is_migrated_once,
        schema::schema_is_migrated_by_four_at_once,
        schema::schema_of_another_version_is_refused_by_name,
        schema::schema_is_keyed_by_tenant,
        schema::schema_explains_its_columns,
        admin::admin_prints_one_object,
        admin::admin_says_what_is_allowed,
        admin::admin_stores_no_secret_in_clear,
        admin::admin_is_heeded_by_running_gateways_within_a_second,
        admin::admin_makes_keys_that_work_at_once,
        delivery::a_job_delivered_twice_makes_one_call,
        delivery::two_workers_call_once_for_each_of_many,
        delivery::a_permanent_refusal_fails_at_once,
        delivery::a_transient_failure_is_tried_again,
        delivery::throttles_delay_and_do_not_count,
        delivery::an_instance_error_holds_the_sender,
        delivery::a_timeout_is_unknown_and_not_a_second_send,
        delivery::the_attempt_is_recorded_before_the_call,
        delivery::suppression_is_checked_again_before_the_attempt,
        delivery::an_old_message_expires_unsent,
        delivery::an_unreachable_provider_is_tried_again_until_the_validity_ends,
        pacing::three_workers_keep_one_rate,
        pacing::a_slow_rate_is_kept_too,
        pacing::a_burst_leaves_at_once,
        pacing::a_code_passes_a_backlog,
        pacing::one_person_is_not_flooded,
        pacing::a_long_backlog_is_refused_at_the_door,
        durability::sends_are_accepted_without_rabbitmq,
        durability::service_resumes_when_postgres_is_back,
        durability::a_silent_database_is_noticed_in_time,
        durability::a_killed_gateway_loses_nothing,
    ]);
    let conclusion = libtest_mimic::run(&arguments, tests);
    runtime.block_on(async {
        if let Some(services) = Arc::into_inner(services).and_then(|shared| shared.0.into_inner()) {
            services.stop().await;
        }
    });
    conclusion.exit();
}
