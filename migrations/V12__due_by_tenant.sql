-- Where more is due than workers can take up at once, they take it account by account, so that one's backlog is nobody
-- else's wait.

create index if not exists messages_due_by_tenant on messages (lane, account_id, due_at) where due_at is not null;
