//! The product from outside: real processes, a real Postgres, a real RabbitMQ, a real provider and a real webhook
//! receiver. One binary, because each further one would link everything again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read the clock and the environment where the product may not"
)]

mod architecture;
mod callbacks;
mod callbacks_opt_outs;
mod callbacks_statuses;
mod life;
mod logs;
mod logs_health;
mod shutdown;
mod support;
mod sweep;
mod sweep_crashes;
mod webhooks;
mod webhooks_isolation;

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

#[expect(clippy::too_many_lines, reason = "one line per test")]
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
        callbacks::the_handshake_needs_the_token_and_the_mode,
        callbacks::signatures_are_checked_over_the_raw_bytes,
        callbacks::four_megabytes_are_the_limit,
        callbacks::what_is_not_ours_changes_nothing,
        callbacks::a_mark_counts_only_for_its_own_sender,
        callbacks_statuses::any_order_ends_as_read,
        callbacks_statuses::two_gateways_keep_every_life_in_line,
        callbacks_statuses::one_post_may_hold_several_reports_of_a_message,
        callbacks_statuses::a_report_may_overtake_the_answer,
        callbacks_statuses::a_report_of_an_unknown_id_waits_for_its_message,
        callbacks_statuses::delivery_outranks_a_reported_failure,
        callbacks_opt_outs::an_arabic_stop_suppresses_in_the_exact_shape,
        callbacks_opt_outs::a_button_says_it_too,
        callbacks_opt_outs::a_repeated_stop_says_nothing_new,
        callbacks_opt_outs::stop_inside_a_sentence_does_nothing,
        callbacks_opt_outs::a_preference_silences_what_is_not_essential,
        callbacks_opt_outs::an_opt_out_is_one_accounts_alone,
        webhooks::events_are_in_the_commit_of_what_they_tell,
        webhooks::each_rise_is_told_in_the_documented_shape,
        webhooks::a_failed_attempt_is_made_again_on_schedule,
        webhooks::an_endpoint_that_is_gone_is_left_alone,
        webhooks::redirects_are_not_followed,
        webhooks::an_answer_is_kept_up_to_sixteen_kibibytes,
        webhooks::an_endpoint_gets_what_it_asked_for,
        webhooks::two_processes_send_each_event_once,
        webhooks_isolation::a_dead_endpoint_delays_nobody,
        webhooks_isolation::private_addresses_are_refused,
        webhooks_isolation::an_allowed_network_is_reached_and_no_other,
        sweep::a_lost_publish_is_found,
        sweep::an_emptied_queue_is_filled_again,
        sweep::deleted_queues_come_back,
        sweep::an_expired_message_gives_its_quota_back,
        sweep::a_lost_webhook_is_found,
        sweep::two_sweeps_do_no_harm,
        sweep::poison_is_parked_and_the_consumers_go_on,
        sweep_crashes::claimed_messages_outlive_their_worker,
        sweep_crashes::a_call_that_was_lost_ends_by_evidence,
        sweep_crashes::a_call_that_was_lost_ends_at_the_deadline,
        sweep_crashes::claimed_webhooks_outlive_their_process,
        shutdown::a_gateway_ends_with_whole_answers,
        shutdown::a_worker_ends_with_its_calls_recorded,
        shutdown::a_teller_ends_with_its_webhooks_recorded,
        shutdown::a_sweeper_ends_between_two_rounds,
        shutdown::nobody_silent_holds_up_the_end,
        shutdown::a_lost_database_does_not_hold_up_the_end,
        shutdown::a_silent_database_does_not_hold_up_the_end,
        logs::text_logs_hold_no_person_and_no_secret,
        logs::json_logs_hold_no_person_and_no_secret,
        logs_health::readiness_follows_the_database,
        logs_health::a_bad_setting_stops_the_start_by_name,
    ]);
    let conclusion = libtest_mimic::run(&arguments, tests);
    runtime.block_on(async {
        if let Some(services) = Arc::into_inner(services).and_then(|shared| shared.0.into_inner()) {
            services.stop().await;
        }
    });
    conclusion.exit();
}
