/// The MESSAGE_ID of each state change. Its catalog text is in units/perdure.catalog.
package enum MessageID: String, CaseIterable, Sendable {
    case guestStarting = "d7658fd339c1467e9083d579bec4a6fc"
    case guestStarted = "477b617b31444e5da95633e212fad326"
    case startFailed = "d722a8d4ad9344a2ac13b307c9746f34"
    case adopted = "f23ed6ef3ca848a58054041d1ee87ed7"
    case handoverBegan = "171b81e13e394f54a9cab506e608163e"
    case handoverDone = "ab1ebcf047ef457183cc2afa5ccf1e2d"
    case handoverUndone = "25edfadd5b104534a2e24152122f149f"
    case handoverDeclined = "93239baae80943c79afac0c779619b81"
    case saved = "af3954be5b414200aec5a537a1e4c30d"
    case executed = "cea99b53465e471ebdb4a61585f02f9c"
    case loaded = "c77461d4d53d48e5a7c9a3dd6646a5ca"
    case requestUndone = "b731819e94034eb9a728ad3163a8f4f0"
    case stopping = "ee03c15cd39f49918e33b9006261d52f"
    case poweredOff = "554ef4cd0bfc43b0b528f4ce030f8dde"
    case lost = "b8aad5f562054269a1072e1a4fcaf977"
    case unclear = "c61bcbc1018a4d279b84a536882cc4f3"
    case stepWentOn = "3e723ad0336e4b47ad8aed98f00f612e"
    case vmProcessEnded = "2ece4632cf3b4e9396fb6a2f92124679"
    case vmProcessSaid = "3c9dbde17df049c58893ec8749762e56"
    case vmProcessSilent = "2a117b58e9de447eb404282aa0a17c3b"
    case storeIncomplete = "bfedc6cea7ff41adb981ba63f5bdc9af"
    case storeComplete = "3ab4dd5d2f2049db9acf2d9adab405d1"
    case fetched = "48b95a679409416ebd6c97aec1fe2610"
    case changesWait = "92d2c7cc524243e9b61aede2448933fa"
    case dumped = "90c9ddd388834917acad51b8279fe13a"
    case startingAnew = "59a01ca48e624b6e998537a76f356e40"
    case crashLoop = "ffd7e2508fdf42e48e1a0f77f20f6edd"
    case rehearsalBegan = "fe260aeb437547b5a855b9137a6a9247"
    case rehearsed = "75c4181e48194bfaae16724bc08e0cef"
    case rehearsalFailed = "adc3f53419fb43c09534bc7a7a69e7b3"
    case preflightWarning = "9a97e549b40f40b080adfef7058cc904"
    case stillSaved = "681e5f7eb9ea48eeba2c181eb6053d62"
    case watchdogFired = "d044ed3f95b14a819bc5a2124ba556f6"
    case guestPanicked = "f6e17eedf46f4090a6b252235c79ee4c"
    case memoryAdded = "ce36aff8bbb145d5aca782bc8b8313ba"
    case memoryRemoved = "f07a6823f4ed43d3b418c155b6e064fd"
    case rolledBack = "914eb45088ff4dd9a2f8046b1e860a9b"
    case paused = "b765046a70084d0aba999e2e38892e31"
    case unpaused = "c8b6609b27414a4b975050280c9bf355"
    case reset = "2036faad026e430abfad22861381a8eb"
    case powerButton = "6808fa0815964492a2dbb9d356f253ec"
    case killed = "ab2ff31c1ba04675be3a0f11c8ef7b8d"
    case held = "a7d5d0d5788c49fc9bdd57bb4993441d"
    case notTakenOver = "6859664a3f2145569d3d1d948688ac44"
    case restored = "2eafaac5a60b4ff386e9e6c58612dc0f"
    case firmwareReplaced = "184bc04f941f43c09e7ab62b5786fdba"
    case memoryGiven = "aeb31a2f536541bd852688dfc52da446"

    /// What has happened, in a word that programs can go by: `handover-done`.
    package var event: String {
        "\(self)".reduce(into: "") { text, character in
            if character.isUppercase { text += "-" }
            text += character.lowercased()
        }
    }
}
