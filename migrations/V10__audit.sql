-- What the audit looks things up by.

-- A message's events, to hold its life against; those of no message are the ones of people and instances.
create index if not exists events_by_message on events (account_id, message_id);

comment on column callbacks.heard is
    'everything but the reports of messages not known yet has taken effect; false and no longer due: given up, because the database refused it again and again';
create index if not exists callbacks_given_up on callbacks (account_id) where due_at is null and not heard;
