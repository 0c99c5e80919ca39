//! A database that looks as if it had been in use for months.

use tokio_postgres::Client;

/// Makes the partitions of the past: of so many months, and so many weeks of texts.
pub async fn partitions(database: &Client, months: u32, weeks: u32) {
    let sql = "do $$
        declare
            family record;
            settings text;
        begin
            for family in
                select p.name, p.name || to_char(starts, p.form) as partition,
                       case p.by_time when true then starts::text else first_id_of(starts)::text end as least,
                       case p.by_time when true then (starts + p.length)::text else first_id_of(starts + p.length)::text end as bound
                from (select name, name = 'policy_log' as by_time,
                             case name when 'message_texts' then interval '1 week' else interval '1 month' end as length,
                             case name when 'message_texts' then 'week' else 'month' end as unit,
                             case name when 'message_texts' then WEEKS else MONTHS end as number,
                             case name when 'message_texts' then '_IYYY\"w\"IW' else '_YYYY\"m\"MM' end as form
                      from unnest(array['messages', 'message_texts', 'attempts', 'events', 'policy_log',
                                        'webhook_deliveries', 'webhook_attempts']) as name) p
                cross join generate_series(date_trunc(p.unit, now()) - p.number * p.length,
                                           date_trunc(p.unit, now()) - p.length, p.length) as starts
            loop
                select array_to_string(reloptions, ', ') into settings
                from pg_class where oid = (family.name || '_default')::regclass;
                execute format('create table %I (like %I including all) with (%s)',
                               family.partition, family.name || '_default', settings);
                execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                               family.name, family.partition, family.least, family.bound);
            end loop;
        end $$";
    let sql = sql.replace("MONTHS", &months.to_string()).replace("WEEKS", &weeks.to_string());
    database.batch_execute(&sql).await.expect("partitions can be made");
}

/// Moves everything that happened to an account's messages so many days back, ids included.
pub async fn age(database: &Client, account_id: i64, days: i32) {
    let aged = "create or replace function pg_temp.aged(id uuid) returns uuid language sql as $$
            select (left(first_id_of(at - days * interval '1 day')::text, 14) || right(id::text, 22))::uuid
            from (select DAYS as days, to_timestamp(
                (('x' || lpad(replace(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::int8) / 1000.0) as at) moment
        $$";
    let rows = "
        update message_texts set message_id = pg_temp.aged(message_id) where account_id = ACCOUNT;
        update attempts set message_id = pg_temp.aged(message_id) where account_id = ACCOUNT;
        update events set event_id = pg_temp.aged(event_id), message_id = pg_temp.aged(message_id),
            occurred_at = occurred_at - interval 'DAYS days' where account_id = ACCOUNT;
        update webhook_deliveries set event_id = pg_temp.aged(event_id) where account_id = ACCOUNT;
        update webhook_attempts set event_id = pg_temp.aged(event_id) where account_id = ACCOUNT;
        update policy_log set message_id = pg_temp.aged(message_id), created_at = created_at - interval 'DAYS days'
            where account_id = ACCOUNT;
        update messages set message_id = pg_temp.aged(message_id), created_at = created_at - interval 'DAYS days',
            expires_at = expires_at - interval 'DAYS days', quota_day = quota_day - DAYS,
            quota_month = date_trunc('month', quota_day - DAYS) where account_id = ACCOUNT;
        delete from quota_usage where account_id = ACCOUNT;
        insert into quota_usage (account_id, period, starts_on, used)
            select account_id, 'day', quota_day, count(*) from messages where account_id = ACCOUNT group by 1, 3
            union all
            select account_id, 'month', quota_month, count(*) from messages where account_id = ACCOUNT group by 1, 3";
    let sql = format!("{aged};{rows}").replace("DAYS", &days.to_string());
    let sql = sql.replace("ACCOUNT", &account_id.to_string());
    database.batch_execute(&sql).await.expect("rows can be aged");
}

/// Fills the tables with the finished messages of the last five months, that many, of twenty accounts that are nobody's; the
/// texts are those of the last three weeks.
pub async fn crowd(database: &Client, messages: i32) {
    let sql = "
        create function pg_temp.id_at(at timestamptz) returns uuid language sql volatile as $$
            select (left(first_id_of(at)::text, 14) || right(gen_random_uuid()::text, 22))::uuid $$;
        create temp table crowd as
            select 1000 + n % 20 as account_id, pg_temp.id_at(at) as message_id, pg_temp.id_at(at) as event_id, at, n
            from (select n, now() - n * (now() - date_trunc('month', now()) + interval '5 months') / COUNT as at
                  from generate_series(1, COUNT) n) moments;
        insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status, sequence, attempts,
                calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month, request_id, created_at)
            select account_id, message_id, n, 'shop-main', 'transactional', 'standard', '9665' || (10000000 + n), 'read', 1, 1, 1,
                   at, 'wamid.CROWD' || n, true, at, date_trunc('month', at), 'crowd', at from crowd;
        insert into message_texts (account_id, message_id, body)
            select account_id, message_id, 'Your order is ready.' from crowd where at > date_trunc('week', now()) - interval '3 weeks';
        insert into attempts (account_id, message_id, attempt, started_at, finished_at, outcome, provider_message_id)
            select account_id, message_id, 1, at, at, 'accepted', 'wamid.CROWD' || n from crowd;
        insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status, sequence)
            select account_id, event_id, 'message.status_updated', 'shop-main', message_id, '9665', 'read', 'sent', 1 from crowd;
        insert into webhook_deliveries (account_id, event_id, endpoint_id, status, attempts, created_at, finished_at)
            select account_id, event_id, message_id, 'delivered', 1, at, at from crowd;
        insert into webhook_attempts (account_id, event_id, endpoint_id, attempt, at, duration_ms, http_status)
            select account_id, event_id, message_id, 1, at, 5, 200 from crowd;
        insert into policy_log (account_id, log_id, created_at, api_key_id, action, risk_score, message_id, request_id)
            select account_id, -n, at, message_id, 'allow', 0, message_id, 'crowd' from crowd;
        analyze";
    let sql = sql.replace("COUNT", &messages.to_string());
    database.batch_execute(&sql).await.expect("a crowd can be made");
}
