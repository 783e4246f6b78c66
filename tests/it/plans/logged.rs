//! Plans as `auto_explain` logs them.

use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::{GROWING, MOST, MOST_GRANTS, run};

pub(super) struct Logged {
    pub(super) query: String,
    plan: Value,
}

/// Has the plans of connections that are opened from now on logged, and made in this way.
pub(super) async fn log_plans(connection: &mut PgConnection, mode: &str) {
    let database: String = sqlx::query("SELECT current_database()").fetch_one(&mut *connection).await.unwrap().get(0);
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_timing = off",
        "auto_explain.log_nested_statements = on",
        "auto_explain.log_format = 'json'",
        &format!("plan_cache_mode = {mode}"),
    ] {
        run(connection, &format!("ALTER DATABASE {database} SET {setting}")).await;
    }
}

/// Reads all plans that were logged.
pub(super) async fn read(connection: &mut PgConnection) -> Vec<Logged> {
    let log: String = sqlx::query("SELECT pg_read_file(current_setting('data_directory') || '/../log')")
        .fetch_one(connection)
        .await
        .unwrap()
        .get(0);
    log.split(" plan:\n")
        .skip(1)
        .map(|part| {
            let json: String = part.lines().take_while(|line| line.starts_with('\t')).collect();
            let logged: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
            Logged { query: logged["Query Text"].as_str().unwrap().to_owned(), plan: logged["Plan"].clone() }
        })
        .collect()
}

impl Logged {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check(&self.plan, &mut problems);
        problems
    }

    fn check(&self, node: &Value, problems: &mut Vec<String>) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        if let Some(table) = node["Relation Name"].as_str().filter(|table| GROWING.contains(table)) {
            let rows = |name: &str| node[name].as_f64().unwrap_or(0.0);
            let removed = rows("Rows Removed by Filter") + rows("Rows Removed by Index Recheck");
            let read = (rows("Actual Rows") + removed) * rows("Actual Loops");
            let most = if table == "grants" { MOST_GRANTS } else { MOST };
            if kind == "Seq Scan" {
                problems.push(format!("scans {table}: {}", self.query));
            } else if read > most {
                problems.push(format!("reads {read} rows of {table} by {}: {}", node["Index Name"], self.query));
            }
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.check(child, problems);
        }
    }
}
