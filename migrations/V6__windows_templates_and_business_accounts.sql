-- What Meta's Cloud API asks for besides texts: the 24-hour window, templates, and news of business accounts.

alter table instances
    add column outside_window       text not null default 'try' check (outside_window in ('fail', 'try')),
    add column listening_since      timestamptz,
    add column business_account_id  text,
    add column texts_hold_until     timestamptz,
    add column templates_hold_until timestamptz;
update instances set outside_window = 'fail' where provider = 'meta';
comment on column instances.outside_window is
    'free text to somebody known to have written nothing for 24 hours: fail without a call, or try';
comment on column instances.listening_since is
    'when the first callback about its messages came: who has not written since a day before is outside the window; null: nothing is known';
comment on column instances.business_account_id is
    'Meta''s id of the business account (WABA) its number belongs to, as callbacks tell it; news of accounts are routed by it';
comment on column instances.texts_hold_until is 'Meta restricts answers to customers until then: free text waits';
comment on column instances.templates_hold_until is 'Meta restricts what the business begins until then: templates wait';
create index instances_by_business_account on instances (business_account_id) where business_account_id is not null;

create table conversations (
    account_id      bigint not null,
    instance_id     text not null,
    recipient       text not null,
    last_inbound_at timestamptz not null,
    primary key (account_id, instance_id, recipient)
) with (fillfactor = 70);
comment on table conversations is 'who wrote to an instance of Meta''s, for its 24-hour window';
comment on column conversations.last_inbound_at is 'when they wrote last: free text may be sent to them for 24 hours from then on';
create index conversations_by_age on conversations (last_inbound_at);

alter table messages add column template jsonb;
comment on column messages.template is
    'sent in place of the body, which is how it reads: name, language and parameters, a list or by name; null: the body is sent';

comment on table sender_aliases is
    'people whom a provider has named by an id of its own (Evolution: the LID, Meta: the business-scoped user id) and by their number';
comment on column sender_aliases.sender is 'the provider''s id: a LID with its domain, 184467440737095@lid, or Meta''s, SA.100200300';
comment on column unresolved_senders.sender is 'the provider''s id they wrote from';
