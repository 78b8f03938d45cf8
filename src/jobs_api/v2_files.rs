//! Files at a server of Comfy API v2: the assets behind the names that clients were given.

use super::{
    Detail, JobsError, JobsSession, KnownFile, KnownFiles, Workflow, caller::filled, known_files::LONGEST_ASSET,
};
use crate::{
    http::buffered::BufferError,
    mapping::{
        dialect::{FilePlace, V2FileNames, V2Names},
        json::{find, string_value},
    },
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// How many jobs are asked for where a file is not known by its name: the newest of those that no file is known of.
const ASKED_FOR_FILES: usize = 16;

impl JobsSession {
    /// The names of files, where the server has assets.
    pub fn file_names(&self) -> Option<&V2FileNames> {
        Some(&self.dialect().names.v2.as_ref()?.files)
    }

    /// The files that clients were given names of.
    pub fn known_files(&self) -> &Arc<KnownFiles> {
        &self.jobs.files
    }

    /// Where the content of `file` is at the server, if this client was given that name. Jobs that nobody has asked for their
    /// files since they ended are asked for theirs.
    ///
    /// # Errors
    /// The file is not found, and a job cannot be asked for: it may be of that one.
    pub async fn content_target(&self, file: &FilePlace) -> Result<Option<String>, JobsError> {
        let Some(names) = self.file_names() else {
            return Ok(None);
        };
        let scope = self.caller.scope;
        let mut asset = self.jobs.files.asset(scope, file);
        if asset.is_none() {
            let asked = self.ask_for_files().await;
            asset = self.jobs.files.asset(scope, file);
            if asset.is_none() {
                asked?;
            }
        }
        Ok(asset.map(|asset| self.caller.target(&filled(&names.content, &asset), "")))
    }

    /// The target of an upload.
    pub fn upload_target(&self, names: &V2FileNames) -> String {
        self.caller.target(&names.take, "")
    }

    /// Asks some jobs for their files, all of them whatever comes of one.
    async fn ask_for_files(&self) -> Result<(), JobsError> {
        let (files, scope) = (&self.jobs.files, self.caller.scope);
        let mut jobs = self.jobs.known.of(scope);
        jobs.retain(|(id, job)| job.end.as_deref() != Some("") && !files.was_asked(scope, id));
        // One that is not over, as far as is known, may be asked for again and again: the others come first.
        jobs.sort_by_key(|(_, job)| (job.end.is_none(), Reverse(job.submitted_ms)));
        jobs.truncate(ASKED_FOR_FILES);
        let asked = stream::iter(jobs).map(|(id, job)| {
            let session = self.clone();
            async move {
                let detail = session.detail_with(&id, Workflow::Wanted).await?;
                // A younger one may not be everywhere yet.
                if matches!(detail, Detail::Absent(_)) && job.may_be_gone() {
                    session.jobs.files.asked(session.caller.scope, &id);
                }
                Ok(())
            }
            .boxed()
        });
        let asked: Vec<Result<(), JobsError>> = asked.buffer_unordered(self.jobs.side_by_side).collect().await;
        asked.into_iter().collect()
    }

    /// Keeps which asset each file of a job is: the server tells `job`, and clients are told `shown`.
    pub(super) fn keep_files(&self, v2: &V2Names, id: &str, job: &[u8], shown: &[u8]) {
        let names = &v2.files;
        let list = |text: &[u8], path| {
            let [found] = find(text, [path]).ok()?;
            serde_json::from_slice::<Value>(found?).ok()
        };
        let (Some(outputs), Some(shown_files)) = (list(job, &names.outputs), list(shown, &names.shown)) else {
            return;
        };
        let made_ms = self.dialect().job_in(shown).map_or(0, |job| job.created as i64);
        let found = assets_of(names, &outputs, &shown_files)
            .into_iter()
            .map(|(place, asset)| {
                let file = KnownFile {
                    asset: asset.to_owned(),
                    made_ms,
                    content: None,
                    job: Some(id.to_owned()),
                };
                (place, file)
            });
        self.jobs.files.made(self.caller.scope, found.collect());
    }

    /// The asset that the server has made of an upload, by its answer.
    pub fn asset_in(&self, names: &V2FileNames, answer: &[u8]) -> Option<String> {
        let [asset] = find(answer, [&names.asset]).ok()?;
        asset
            .and_then(string_value)
            .filter(|asset| (1..=LONGEST_ASSET).contains(&asset.len()))
    }

    /// A prompt with assets in the place of names of uploads, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is longer than that, or there is no room for it.
    pub fn with_assets(&self, prompt: Bytes, limit: usize) -> Result<Bytes, BufferError> {
        let (files, scope) = (&self.jobs.files, self.caller.scope);
        let Some(names) = self.file_names().filter(|_| files.has_any(scope)) else {
            return Ok(prompt);
        };
        let asset = |file: &FilePlace| files.upload(scope, file);
        let buffer = self.jobs.upstream.budget().request_buffer(limit);
        let changed = names.with_references(&prompt, &asset, buffer)?;
        Ok(changed.unwrap_or(prompt))
    }
}

/// The asset of each file that is shown: the files of one node come in the same order in both.
fn assets_of<'o>(names: &V2FileNames, outputs: &'o Value, shown: &Value) -> Vec<(FilePlace, &'o str)> {
    let [node, name, asset] = &names.output;
    let [filename, folder, place] = &names.item;
    let mut assets: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    // Backwards, as each is taken from the end.
    for output in outputs.as_array().into_iter().flatten().rev() {
        let text = |member: &String| output.get(member)?.as_str();
        if let (Some(node), Some(name), Some(asset)) = (text(node), text(name), text(asset)) {
            assets.entry((node, name)).or_default().push(asset);
        }
    }
    let mut found = Vec::new();
    let nodes = shown.as_object().into_iter().flatten();
    for (node, keys) in nodes {
        let lists = keys.as_object().into_iter().flatten();
        for item in lists.filter_map(|(_, items)| items.as_array()).flatten() {
            let text = |member: &String| item.get(member)?.as_str();
            let (Some(filename), Some(folder), Some(place)) = (text(filename), text(folder), text(place)) else {
                continue;
            };
            let asset = assets.get_mut(&(node.as_str(), filename)).and_then(Vec::pop);
            found.extend(names.placed(Some(place), folder, filename).zip(asset));
        }
    }
    found
}
