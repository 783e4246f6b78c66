//! Forms that are kept until their users send them again.

use evergate::{
    clock::Timestamp,
    store::{Expired, KeptPostRow, MostKept},
};

use super::{NOTHING, contract};

fn row(name: u8, owner: u8, expires_at: i64) -> KeptPostRow {
    KeptPostRow { name: [name; 32], owner: [owner; 32], sealed: vec![name; 100], expires_at: Timestamp(expires_at) }
}

const NOW: Timestamp = Timestamp(0);
const MOST: MostKept = MostKept { of_owner: 2, rows: 4, bytes: 1000 };

contract! {
    a_form_is_kept_once_however_often_it_is_saved_and_taken_once(store) {
        for _ in 0..2 {
            assert!(store.save_kept_post(&row(1, 1, 50), MOST, NOW).await.unwrap());
        }
        let kept = store.kept_post([1; 32]).await.unwrap().unwrap();
        assert_eq!((kept.owner, kept.sealed, kept.expires_at), ([1; 32], vec![1; 100], Timestamp(50)));
        assert!(store.kept_post([2; 32]).await.unwrap().is_none());
        assert!(store.take_kept_post([1; 32]).await.unwrap());
        assert!(!store.take_kept_post([1; 32]).await.unwrap());
        assert!(store.kept_post([1; 32]).await.unwrap().is_none());
    }
    of_one_owner_the_oldest_makes_room_and_of_all_no_more_is_kept_than_may_be(store) {
        for number in 1..=3 {
            assert!(store.save_kept_post(&row(number, 1, i64::from(number)), MOST, NOW).await.unwrap());
        }
        assert!(store.kept_post([1; 32]).await.unwrap().is_none());
        assert!(store.kept_post([2; 32]).await.unwrap().is_some());
        for number in [4, 5] {
            assert!(store.save_kept_post(&row(number, number, 9), MOST, NOW).await.unwrap());
        }
        assert!(!store.save_kept_post(&row(6, 6, 9), MOST, NOW).await.unwrap(), "there are four");
        assert!(store.save_kept_post(&row(7, 1, 9), MOST, NOW).await.unwrap(), "one's own makes room");
        let large = MostKept { rows: 100, ..MOST };
        assert!(store.save_kept_post(&KeptPostRow { sealed: vec![0; 600], ..row(8, 8, 9) }, large, NOW).await.unwrap(), "1,000 bytes");
        assert!(!store.save_kept_post(&row(9, 9, 9), large, NOW).await.unwrap(), "there are 1,000 bytes");
    }
    forms_that_have_expired_and_are_not_swept_yet_take_no_place(store) {
        for number in 1..=4 {
            assert!(store.save_kept_post(&row(number, number, 9), MOST, NOW).await.unwrap());
        }
        assert!(!store.save_kept_post(&row(5, 5, 19), MOST, Timestamp(8)).await.unwrap(), "four live");
        for number in 5..=8 {
            let large = KeptPostRow { sealed: vec![0; 250], ..row(number, number, 19) };
            assert!(store.save_kept_post(&large, MOST, Timestamp(9)).await.unwrap(), "neither in number nor in bytes");
        }
        assert!(!store.save_kept_post(&row(9, 9, 19), MOST, Timestamp(9)).await.unwrap(), "four live again");
    }
    the_sweep_removes_forms_that_have_expired_and_no_others(store) {
        for (name, expires_at) in [(1, 5), (2, 6), (3, 7)] {
            assert!(store.save_kept_post(&row(name, name, expires_at), MOST, NOW).await.unwrap());
        }
        assert_eq!(store.sweep(&Expired { now: Timestamp(6), ..NOTHING }).await.unwrap().removed, 2);
        assert!(store.kept_post([2; 32]).await.unwrap().is_none() && store.kept_post([3; 32]).await.unwrap().is_some());
    }
}
