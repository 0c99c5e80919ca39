//! `gateway admin opt-out-words …`.

use super::answer::Answer;
use super::{Admin, AdminError, insert_error, parse, require_account};
use crate::domain::opt_out::{self, Wish};
use crate::store::opt_out_words;

/// `gateway admin opt-out-words …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Let people opt out with a word besides the built-in ones, when it is their whole message.
    Add {
        #[command(flatten)]
        which: Which,
        /// It opts in instead.
        #[arg(long)]
        start: bool,
    },
    /// Strike a word of the account's own off.
    Remove {
        #[command(flatten)]
        which: Which,
    },
    /// Show an account's own words.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
}

/// One word of one account.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The account's id.
    #[arg(long, value_parser = parse::account_id)]
    account: i64,
    /// The word, or a few; case, accents and punctuation make no difference.
    #[arg(long, value_parser = parse::opt_out_word)]
    word: String,
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Add { which, start } => {
            add(admin, &which, if start { Wish::OptIn } else { Wish::OptOut }).await
        }
        Command::Remove { which } => remove(admin, &which).await,
        Command::List { account } => {
            let rows = opt_out_words::list(&admin.session_of(account).await?, account).await?;
            Ok(Answer::list(&rows, ["word", "wish", "since"], |row| {
                [row.word.clone(), row.wish.clone(), row.created_at.to_string()]
            }))
        }
    }
}

async fn add(admin: &Admin, which: &Which, wish: Wish) -> Result<Answer, AdminError> {
    let (account, word, folded) = (which.account, &which.word, which.folded());
    // What everybody may rely on means the same everywhere.
    if let Some(built_in) = opt_out::built_in(&folded) {
        let problem = format!("`{word}` is built in: it asks for {}", built_in.as_str());
        return Err(AdminError::Taken(problem));
    }
    let session = admin.session().await?;
    let added = opt_out_words::insert(&session, account, (word, &folded), wish)
        .await
        .map_err(|error| insert_error(error, account))?;
    let when = if added { "asks" } else { "was known already; it asks" };
    Ok(Answer::done(word, format!("`{word}` {when} for {} from now on", wish.as_str())))
}

async fn remove(admin: &Admin, which: &Which) -> Result<Answer, AdminError> {
    let (account, word, folded) = (which.account, &which.word, which.folded());
    if opt_out::built_in(&folded).is_some() {
        return Err(AdminError::Taken(format!("`{word}` is built in, and cannot be removed")));
    }
    let session = admin.session().await?;
    if opt_out_words::delete(&session, account, &folded).await? {
        return Ok(Answer::done(word, format!("`{word}` asks for nothing any more")));
    }
    require_account(&session, account).await?;
    Err(AdminError::Nothing { account_id: account, what: format!("word `{word}`") })
}

impl Which {
    fn folded(&self) -> String {
        opt_out::folded(&self.word).unwrap_or_default()
    }
}
