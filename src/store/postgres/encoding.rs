//! Whether the database can hold every name. A text that it cannot is refused whenever it is written: a user of that name cannot log in,
//! and what the provider says of one who is logged in is not taken over.

use sqlx::{Connection as _, PgConnection, Row as _};

/// The database's encoding (`server_encoding`).
pub(super) async fn read(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    // In a transaction, which a pooler gives one server process.
    let mut transaction = connection.begin().await?;
    let question = "SELECT current_setting('server_encoding') AS encoding";
    let row = sqlx::query(question).persistent(false).fetch_one(&mut *transaction).await?;
    let encoding = row.try_get("encoding")?;
    transaction.rollback().await?;
    Ok(encoding)
}

/// Whether every text of Unicode can be stored in this encoding. `SQL_ASCII` keeps the bytes that it is given, which are UTF-8.
pub(super) fn holds_every_name(encoding: &str) -> bool {
    ["UTF8", "SQL_ASCII"].contains(&encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_that_lacks_letters_is_told_from_one_that_has_them_all() {
        for (encoding, expected) in
            [("UTF8", true), ("SQL_ASCII", true), ("LATIN1", false), ("LATIN9", false), ("WIN1252", false), ("EUC_JP", false)]
        {
            assert_eq!(holds_every_name(encoding), expected, "{encoding}");
        }
    }
}
