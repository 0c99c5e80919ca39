-- What sending through an Evolution server, and being told by it, needs.

alter table instances
    add column provider_instance   text,
    add column if not exists callback_token_hash bytea,
    add constraint instances_evolution_is_named check (provider <> 'evolution' or provider_instance is not null);
comment on column instances.provider_instance is 'the instance''s name on its Evolution server';
comment on column instances.callback_token_hash is 'SHA-256 of the token in the address its Evolution server reports to; null: none was registered';
create unique index instances_by_provider_instance on instances (base_url, provider_instance)
    where provider_instance is not null;
create unique index if not exists instances_by_callback_token on instances (callback_token_hash)
    where callback_token_hash is not null;

comment on column attempts.provider_message_id is
    'the provider''s id of the message; with Evolution it is proposed to the provider and recorded before the call, and replaced where the answer gives another';
create index instances_of_evolution on instances (account_id, instance_id) where provider = 'evolution';

create table connection_looks (
    account_id  bigint not null,
    instance_id text not null,
    due_at      timestamptz not null,
    revivals    smallint not null default 0,
    primary key (account_id, instance_id)
) with (fillfactor = 50);
comment on table connection_looks is 'when the connection of an Evolution instance is looked at; apart from instances, whose changes every process is told';
comment on column connection_looks.due_at is 'when it is looked at again';
comment on column connection_looks.revivals is 'how often it was opened after being suspect, without having been found open since: each doubles the wait';
