//! Getting another token now, whatever the rules say.

use std::{future::poll_fn, sync::Arc};

use super::{core::Core, fetch::Here, policy::SECOND, state::State, waiting::Waiting};
use crate::{
    error::{Error, ErrorKind},
    fetch::RefreshReason,
    token::Token,
};

/// Gets another token: from the fetch that is up, or if that fails or brings the old one, from one
/// more. Calls at the same time share both, and calls right after a success share that.
pub(super) async fn refresh(core: Arc<Core>) -> Result<Token, Error> {
    let (before, is_recent) = core.inspect(|State { slot, .. }, now| {
        let is_recent = slot.landed_at.is_some_and(|at| now.saturating_sub(at) < SECOND);
        (slot.newest().map(|held| held.token.id()), is_recent && !slot.suspension.is_on())
    });
    if let Some(token) = newest(&core).filter(|_| is_recent) {
        return Ok(token);
    }
    let mut waiting = Waiting::new(core);
    let mut is_last = false;
    loop {
        let here = Here::find();
        let up = waiting.core.refresh(here.id())?;
        // One that was asked for, by this or another call, is not asked for twice.
        is_last |= up.begun.is_some() || up.flight.info.reason == RefreshReason::Requested;
        waiting.wait_for(up, &here)?;
        drop(here);
        match poll_fn(|cx| waiting.poll(cx)).await {
            Ok(Some(_)) => match newest(&waiting.core) {
                Some(token) if is_last || Some(token.id()) != before => return Ok(token),
                Some(_) => is_last = true,
                // It has run out before this was polled.
                None => waiting.may_go_on(ErrorKind::Expired)?,
            },
            Err(error) if is_last => return Err(error),
            Ok(None) => {}
            Err(_) => is_last = true,
        }
    }
}

/// The newest token, if it can be used. The one before may be used in its place.
fn newest(core: &Core) -> Option<Token> {
    core.inspect(|State { slot, .. }, now| {
        slot.newest().filter(|held| held.is_usable(now)).map(|held| held.token_at(now))
    })
}
