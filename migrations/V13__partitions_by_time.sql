-- What grows with every message is kept in partitions by time, so that what is hot stays small, and old rows go by dropping
-- a table. Texts go sooner than the rest and get a table of their own; without them a message's row is narrow, and the
-- versions that its life writes do not copy its text.
--
-- Ids are UUIDv7, whose first 48 bits are the milliseconds of their time, so the tables are ranged by the ids themselves and
-- keep their keys. Texts are kept in weeks (ISO 8601), everything else in months, both in UTC. `gateway migrate` and `sweep`
-- make partitions ahead. What falls outside of them (an id by a wrong clock, a month that nobody made) is in the partition
-- *_default, so that no row is ever refused.

create or replace function oldest_build_served() returns integer language sql immutable return 13;

create function first_id_of(moment timestamptz) returns uuid language sql immutable parallel safe strict
    return (lpad(to_hex((extract(epoch from moment) * 1000)::int8), 12, '0') || repeat('0', 20))::uuid;
comment on function first_id_of(timestamptz) is 'the least UUIDv7 of that moment, which is 1970 or later';

create function rows_kept_since() returns timestamptz language sql immutable return '-infinity'::timestamptz;
comment on function rows_kept_since() is
    'rows from before that may have been dropped; replaced in the transaction that drops a partition';

-- The old tables become the first partitions, up to the end of this period, and are not written anew. That costs a reading of
-- each, a new key for the policy log, and a copy of the texts; an old table without rows is dropped.

alter table messages add column free_text boolean not null default true;
update messages set free_text = false where template is not null;
comment on column messages.free_text is 'no template: its text is sent as it is';

create table message_texts_before (
    account_id bigint not null,
    message_id uuid not null,
    body       text not null,
    template   jsonb
);
comment on column message_texts_before.template is
    'sent in place of the body, which is how it reads: name, language and parameters, a list or by name; null: the body is sent';
insert into message_texts_before select account_id, message_id, body, template from messages;
alter table message_texts_before add primary key (account_id, message_id);
alter table messages drop column body, drop column template;

alter table policy_log drop constraint policy_log_pkey, add primary key (account_id, log_id, created_at);

do $$
declare
    old   text;
    index text;
begin
    foreach old in array array['messages', 'attempts', 'events', 'policy_log', 'webhook_deliveries', 'webhook_attempts'] loop
        execute format('alter table %I rename to %I', old, old || '_before');
        for index in select indexrelid::regclass::text from pg_index where indrelid = (old || '_before')::regclass loop
            execute format('alter index %I rename to %I', index, index || '_before');
        end loop;
    end loop;
end $$;

-- The settings of the default partitions are the pattern for those of the others: to change them for what is to come, change
-- them there. When a partition's time is over, sweep lets autovacuum clean it to the last thousand rows (store/partitions).

create table messages (like messages_before including all excluding indexes) partition by range (message_id);
alter table messages add primary key (account_id, message_id);
create index messages_due on messages (lane, due_at) where due_at is not null;
create index messages_due_by_tenant on messages (lane, account_id, due_at) where due_at is not null;
create index messages_of_unknown_outcome on messages (account_id, instance_id, recipient) where status = 'unknown';
-- A message is written four times in its life, and each version leaves an entry in the indexes of what is due. Every look for
-- due messages steps over those of dead versions, so they must not wait for a fifth of a large table to be dead. Pages have
-- room for a message's next versions beside it.
create table messages_default partition of messages default
    with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create table message_texts (like message_texts_before including all excluding indexes) partition by range (message_id);
alter table message_texts add primary key (account_id, message_id);
comment on table message_texts is 'what messages say, kept for a shorter time than that they were sent';
-- Written once, as events, the policy log and the attempts of webhooks are. Nothing in it dies, so that only the number of
-- new rows brings autovacuum here; it freezes them the first time it sees them, and not all at once years later.
create table message_texts_default partition of message_texts default
    with (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_freeze_min_age = 0);

create table attempts (like attempts_before including all excluding indexes) partition by range (message_id);
alter table attempts add primary key (account_id, message_id, attempt);
create index attempts_by_provider_id on attempts (account_id, provider_message_id) where provider_message_id is not null;
-- Written twice: when the call begins and when it ends. The second version finds room in the first one's page.
create table attempts_default partition of attempts default
    with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

create table events (like events_before including all excluding indexes) partition by range (event_id);
alter table events add primary key (account_id, event_id);
create index events_by_message on events (account_id, message_id);
create index events_with_words on events (event_id) where message_text is not null;
comment on table events is 'append-only: what happened, as customers are told; written in the commit of what it reports';
comment on column events.message_text is
    'recipient.opted_out and opted_in only: the words the person sent; removed when the texts of their time are';
create table events_default partition of events default
    with (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_freeze_min_age = 0);

create table policy_log (like policy_log_before including all excluding indexes) partition by range (created_at);
alter table policy_log add primary key (account_id, log_id, created_at);
comment on table policy_log is 'every decision past authentication; no message text and no clear phone number';
create table policy_log_default partition of policy_log default
    with (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_freeze_min_age = 0);

create table webhook_deliveries (like webhook_deliveries_before including all excluding indexes) partition by range (event_id);
alter table webhook_deliveries add primary key (account_id, event_id, endpoint_id);
create index webhook_deliveries_due on webhook_deliveries (due_at) where due_at is not null;
-- As messages: written three times at least, and looked for by what is due.
create table webhook_deliveries_default partition of webhook_deliveries default
    with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create table webhook_attempts (like webhook_attempts_before including all excluding indexes) partition by range (event_id);
alter table webhook_attempts add primary key (account_id, event_id, endpoint_id, attempt);
create table webhook_attempts_default partition of webhook_attempts default
    with (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_freeze_min_age = 0);

create index events_with_words_before on events_before (event_id) where message_text is not null;

do $$
declare
    family   record;
    settings text;
    has_rows boolean;
begin
    for family in
        select t.name, t.key, case t.key when 'created_at' then p.ends::text else first_id_of(p.ends)::text end as bound,
               to_char(p.ends, case t.name when 'message_texts' then 'IYYY"w"IW' else 'YYYY"m"MM' end) as next
        from (values ('messages', 'message_id'), ('message_texts', 'message_id'), ('attempts', 'message_id'),
                     ('events', 'event_id'), ('policy_log', 'created_at'), ('webhook_deliveries', 'event_id'),
                     ('webhook_attempts', 'event_id')) as t(name, key)
        cross join lateral (
            select case t.name when 'message_texts' then date_trunc('week', now()) + interval '1 week'
                               else date_trunc('month', now()) + interval '1 month' end as ends) p
    loop
        -- What a clock that was ahead has written belongs to none of the partitions yet.
        execute format('with ahead as (delete from %1$I where %2$I >= %3$L returning *) insert into %4$I select * from ahead',
                       family.name || '_before', family.key, family.bound, family.name || '_default');
        execute format('select exists (select from %I)', family.name || '_before') into has_rows;
        if not has_rows then
            execute format('drop table %I', family.name || '_before');
            continue;
        end if;
        select array_to_string(reloptions, ', ') into settings
        from pg_class where oid = (family.name || '_default')::regclass;
        execute format('alter table %I set (%s)', family.name || '_before', settings);
        execute format('alter table %I rename to %I', family.name || '_before', family.name || '_before_' || family.next);
        execute format('alter table %I attach partition %I for values from (minvalue) to (%L)',
                       family.name, family.name || '_before_' || family.next, family.bound);
    end loop;
end $$;
