import FoundationEssentials
import Glibc
import GuestDefinition
import Lifecycle
import Linux
import Varlink

/// One client. It gets its replies in the order of its calls.
final class ControlConnection {
    /// How many calls a client may send ahead.
    private static let maximumWaiting = 16

    private let socket: Descriptor
    let peer: Peer
    private unowned let supervisor: GuestSupervisor
    private var framing = VarlinkFraming()
    private var calls: [[UInt8]] = []
    /// What came along with the last calls, until one has a use for it.
    private var attached: [Descriptor] = []
    /// A call is being carried out.
    var isBusy = false
    private(set) var isBroken = false
    /// Closed once nobody waits for polkit's answer any more.
    var question: Descriptor?
    private var wantsReply = true
    private var wantsMore = false
    /// It is told of each change, and gets no other answers.
    private(set) var isMonitoring = false
    /// It has the descriptors of the guest's console.
    private(set) var hasConsole = false
    var watch: ReadWatch?

    init(socket: Descriptor, peer: Peer, supervisor: GuestSupervisor) {
        self.socket = socket
        self.peer = peer
        self.supervisor = supervisor
    }

    /// Whether the connection goes on.
    func readable(_ supervisor: isolated GuestSupervisor) -> Bool {
        guard let received = try? UnixSocket.receive(from: socket, limit: 4096) else { return false }
        switch received {
        case .nothingYet: return true
        case .endOfStream: return false
        case .bytes(let bytes, let attached):
            if !attached.isEmpty { self.attached = attached }
            guard let messages = try? framing.take(bytes) else { return false }
            calls += messages
            guard calls.count <= ControlConnection.maximumWaiting else { return false }
            answerNext(supervisor)
            return !isBroken
        }
    }

    /// The client has gone, or is made to.
    func giveUp() {
        isBroken = true
        question = nil
    }

    /// Answers calls in their order; the next one waits until this one has its reply.
    func answerNext(_ supervisor: isolated GuestSupervisor) {
        while !isBusy, !isBroken, !calls.isEmpty {
            let message = calls.removeFirst()
            guard let call = try? VarlinkMessage.decodeCall(message) else {
                isBroken = true
                return
            }
            (wantsReply, wantsMore) = (call.oneway != true, call.more == true)
            answer(call, message, supervisor)
        }
    }

    private func answer(_ call: VarlinkMessage.Call, _ message: [UInt8], _ supervisor: isolated GuestSupervisor) {
        if answerService(call, message) { return }
        let method = GuestInterface.Method.allCases.first { $0.qualified == call.method }
        guard let method else {
            return send(try? VarlinkMessage.error("org.varlink.service.MethodNotFound", ["method": call.method]))
        }
        carryOutWithRight(method, message, supervisor)
    }

    /// For a client that has the right to it.
    func carryOut(_ method: GuestInterface.Method, _ message: [UInt8], _ supervisor: isolated GuestSupervisor) {
        switch method {
        case .monitor:
            (isBusy, isMonitoring) = (wantsMore, wantsMore)
            send(try? VarlinkMessage.reply(GuestInterface.StatusReply(supervisor.status), continues: wantsMore))
        case .getDifferences:
            reply(supervisor) { supervisor in
                do {
                    return try VarlinkMessage.reply(try await supervisor.differences())
                } catch let refusal as Refusal {
                    return try ControlConnection.error(refusal)
                } catch {
                    let failure = GuestInterface.Failure.invalidDefinition.qualified
                    return try VarlinkMessage.error(failure, VarlinkMessage.Reason("\(error)"))
                }
            }
        case .hold: request(.hold, message, supervisor)
        case .pause: request(.pause, message, supervisor)
        case .resume: request(.resume, message, supervisor)
        case .reset: request(.reset, message, supervisor)
        case .powerDown: request(.powerdown, message, supervisor)
        case .kill: request(.kill, message, supervisor)
        case .getStatus:
            reply(supervisor) { supervisor in
                await supervisor.lookForReplacedFiles()
                return try VarlinkMessage.reply(GuestInterface.StatusReply(supervisor.status))
            }
        case .prove:
            replyOrRefuse(supervisor) { supervisor in
                try await supervisor.prove()
                return GuestInterface.StatusReply(supervisor.status)
            }
        case .getMetrics:
            reply(supervisor) { supervisor in
                try VarlinkMessage.reply(GuestInterface.MetricsReply(await supervisor.metrics()))
            }
        case .getConsole:
            guard let log = supervisor.inventory[Inventory.consoleLog], let readOnly = try? log.reopened(O_RDONLY)
            else {
                return fail(.notRunning, "the guest '\(supervisor.name)' has no console")
            }
            // Until the next handover there is none for a guest that an older supervisor has started.
            hasConsole = true
            let takesInput = supervisor.current?.record.console?.input != nil
            let input = takesInput ? supervisor.inventory[Inventory.consoleInput] : nil
            let writeOnly = try? input?.reopened(O_WRONLY | O_NONBLOCK)
            send(
                try? VarlinkMessage.reply(GuestInterface.ConsoleReply(hasInput: writeOnly != nil)),
                attaching: [readOnly] + [writeOnly].compactMap { $0 }
            )
        case .save: request(.save, message, supervisor)
        case .exec: request(.exec, message, supervisor)
        case .load: request(.load, message, supervisor)
        case .upgrade: request(.upgrade, message, supervisor)
        case .rehearse:
            request(.rehearse, message, supervisor) { supervisor in
                guard let rehearsal = supervisor.rehearsal else { return nil }
                return try VarlinkMessage.reply(
                    GuestInterface.RehearsalReply(
                        qemu: rehearsal.qemu,
                        qemuVersion: "\(rehearsal.version)",
                        pauseUsec: rehearsal.pause
                    )
                )
            }
        case .checkHandover:
            guard let parameters = parameters(message) else { return }
            replyOrRefuse(supervisor) { supervisor in try await supervisor.check(qemu: parameters.qemu) }
        case .getMemory:
            replyOrRefuse(supervisor) { supervisor in GuestInterface.MemoryReply(try await supervisor.memory()) }
        case .dump: dump(message, supervisor)
        case .pingAgent:
            let wanted = try? VarlinkMessage.parameters(message, as: GuestInterface.PingParameters.self)
            guard let wanted, (0...60_000_000).contains(wanted.timeoutUsec) else {
                return invalidParameter("timeoutUsec")
            }
            reply(supervisor) { supervisor in
                let state = await supervisor.pingAgent(deadline: .microseconds(wanted.timeoutUsec))
                return try VarlinkMessage.reply(GuestInterface.PingReply(agent: state))
            }
        case .addMemory: addMemory(message, supervisor)
        case .removeMemory: removeMemory(message, supervisor)
        case .setBalloon:
            guard let wanted = try? VarlinkMessage.parameters(message, as: GuestInterface.BalloonParameters.self) else {
                return invalidParameter("bytes")
            }
            replyOrRefuse(supervisor) { supervisor in
                GuestInterface.MemoryReply(try await supervisor.setBalloon(bytes: wanted.bytes))
            }
        }
    }

    private func addMemory(_ message: [UInt8], _ supervisor: isolated GuestSupervisor) {
        let wanted = try? VarlinkMessage.parameters(message, as: GuestInterface.AddMemoryParameters.self)
        guard let wanted, let size = UInt64(exactly: wanted.bytes) else { return invalidParameter("bytes") }
        changeMemory(.add(RAMBlock(id: wanted.id, size: size)), supervisor)
    }

    private func removeMemory(_ message: [UInt8], _ supervisor: isolated GuestSupervisor) {
        guard let wanted = try? VarlinkMessage.parameters(message, as: GuestInterface.RemoveMemoryParameters.self)
        else {
            return invalidParameter("id")
        }
        changeMemory(.remove(wanted.id), supervisor)
    }

    private func changeMemory(_ change: GuestSupervisor.MemoryChange, _ supervisor: isolated GuestSupervisor) {
        replyOrRefuse(supervisor) { supervisor in
            let answer = await withCheckedContinuation { continuation in
                supervisor.request(change) { continuation.resume(returning: $0) }
            }
            try ControlConnection.check(answer)
            return GuestInterface.MemoryReply(try await supervisor.memory())
        }
    }

    private func dump(_ message: [UInt8], _ supervisor: isolated GuestSupervisor) {
        guard let wanted = try? VarlinkMessage.parameters(message, as: GuestInterface.DumpParameters.self) else {
            return invalidParameter("format")
        }
        let output = attached.first
        attached = []
        // QEMU gives up where it would have to wait.
        guard let output, UnixSocket.isStream(output), (try? output.setBlocking()) != nil else {
            return fail(.refused, "a stream socket for the dump has to be passed along with the call")
        }
        let format = wanted.format ?? "elf"
        let dump = GuestSupervisor.DumpRequest(format: format, isPaged: wanted.paging ?? false, output: output)
        replyOrRefuse(supervisor) { supervisor in
            try await supervisor.checkDump(dump)
            let answer = await withCheckedContinuation { continuation in
                supervisor.request(dump) { continuation.resume(returning: $0) }
            }
            try ControlConnection.check(answer)
            return GuestInterface.StatusReply(supervisor.status)
        }
    }

    private static func check(_ answer: Lifecycle.Reply) throws(Refusal) {
        switch answer {
        case .done: return
        case .refused(let refusal): throw refusal
        case .failed(let reason): throw Refusal(reason)
        }
    }

    private func invalidParameter(_ name: String) {
        send(try? VarlinkMessage.error("org.varlink.service.InvalidParameter", ["parameter": name]))
    }

    private func replyOrRefuse(
        _ supervisor: isolated GuestSupervisor,
        _ body: @escaping @Sendable (isolated GuestSupervisor) async throws -> some Encodable & Sendable
    ) {
        reply(supervisor) { supervisor in
            do {
                return try VarlinkMessage.reply(try await body(supervisor))
            } catch let refusal as Refusal {
                return try ControlConnection.error(refusal)
            }
        }
    }

    /// Whether the client takes it.
    func tell(_ status: GuestInterface.Status) -> Bool {
        send(try? VarlinkMessage.reply(GuestInterface.StatusReply(status), continues: true))
        return !isBroken
    }

    /// - Parameter success: the reply where what was asked for has been done.
    private func request(
        _ request: Request,
        _ message: [UInt8],
        _ supervisor: isolated GuestSupervisor,
        success: @escaping (isolated GuestSupervisor) throws -> [UInt8]? = {
            try VarlinkMessage.reply(GuestInterface.StatusReply($0.status))
        }
    ) {
        guard let parameters = parameters(message) else { return }
        isBusy = true
        supervisor.request(request, qemu: parameters.qemu) { [self] reply in
            isBusy = false
            switch reply {
            case .done: send(try? success(supervisor))
            case .refused(let refusal): send(try? ControlConnection.error(refusal))
            case .failed(let reason): fail(.failed, reason)
            }
            answerNext(supervisor)
            if isBroken { supervisor.control?.drop(self) }
        }
    }

    /// Nil where the call has been answered with what is wrong with it.
    private func parameters(_ message: [UInt8]) -> GuestInterface.QEMUParameters? {
        guard let parameters = try? VarlinkMessage.parameters(message, as: GuestInterface.QEMUParameters.self) else {
            invalidParameter("qemu")
            return nil
        }
        if let qemu = parameters.qemu, !qemu.hasPrefix("/") {
            fail(.refused, "'\(qemu)' is not an absolute path of a QEMU program")
            return nil
        }
        return parameters
    }

    /// Answers once `body` has an answer; calls that have come meanwhile wait.
    private func reply(
        _ supervisor: isolated GuestSupervisor,
        _ body: @escaping (isolated GuestSupervisor) async throws -> [UInt8]?
    ) {
        isBusy = true
        supervisor.loop.spawn {
            let bytes = try? await body(supervisor)
            isBusy = false
            send(bytes)
            answerNext(supervisor)
            if isBroken { supervisor.control?.drop(self) }
        }
    }

    private static func error(_ refusal: Refusal) throws -> [UInt8] {
        let failure: GuestInterface.Failure = refusal.isNotRunning ? .notRunning : .refused
        return try VarlinkMessage.error(failure.qualified, VarlinkMessage.Reason(refusal.reason))
    }

    /// What every Varlink service answers.
    private func answerService(_ call: VarlinkMessage.Call, _ message: [UInt8]) -> Bool {
        struct Information: Encodable {
            let vendor = "Perdure"
            let product = "perdure"
            let version = PerdureVersion.current
            let url = ""
            let interfaces = ["org.varlink.service", GuestInterface.name]
        }
        struct Wanted: Decodable { let interface: String }
        switch call.method {
        case "org.varlink.service.GetInfo": send(try? VarlinkMessage.reply(Information()))
        case "org.varlink.service.GetInterfaceDescription":
            let wanted = try? VarlinkMessage.parameters(message, as: Wanted.self)
            if wanted?.interface == GuestInterface.name {
                send(try? VarlinkMessage.reply(["description": GuestInterface.description]))
            } else {
                send(
                    try? VarlinkMessage.error(
                        "org.varlink.service.InterfaceNotFound",
                        ["interface": wanted?.interface ?? ""]
                    )
                )
            }
        default: return false
        }
        return true
    }

    func fail(_ failure: GuestInterface.Failure, _ reason: String) {
        send(try? VarlinkMessage.error(failure.qualified, VarlinkMessage.Reason(reason)))
    }

    /// Replies are short: a client whose socket has no room for one has stopped reading, and loses the connection.
    private func send(_ bytes: [UInt8]?, attaching descriptors: [Descriptor] = []) {
        guard wantsReply else { return }
        let sent = bytes.flatMap { try? UnixSocket.send($0[...], attaching: descriptors, to: socket) }
        if sent == nil || sent != bytes?.count { isBroken = true }
    }
}
