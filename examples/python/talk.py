"""Plays a WAV file to whoever else is in a call, and saves what they say: talk.py CALL IN.wav OUT.wav [SERVER]"""
import pathlib, sys, threading, wave
try:
    import grpc, grpc_tools
except ImportError as error:
    sys.exit(f"{error}; run: pip install -r examples/python/requirements.txt")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("callcenter.proto")

company = threading.Event()  # set as soon as somebody else is in the call

def chunks(wav, call):  # as fast as the server takes them, which plays them at the pace of time
    rate, channels = wav.getframerate(), wav.getnchannels()
    join = messages.Join(display_name="talk.py", alone=messages.ALONE_SILENCE, effects="none")
    first = messages.AudioChunk(call_id=call, sample_rate=rate, channels=channels, codec="pcm", join=join)
    sequence, position, chunk = 1, 0, first
    while True:
        chunk.sequence, chunk.media_time = sequence, position
        yield chunk
        sequence, position = sequence + 1, position + len(chunk.audio_data) // (2 * channels)
        chunk = messages.AudioChunk()
        if company.wait(timeout=10):  # until then a chunk without sound keeps the line
            chunk.audio_data = wav.readframes(rate // 50)
            if not chunk.audio_data:
                return

def watch(chunk):  # who is there
    for event in chunk.events:
        if event.HasField("joined") or len(event.roster.parties) > 1:
            company.set()

if len(sys.argv) not in (4, 5):
    sys.exit(__doc__)
call, spoken_path, heard_path = sys.argv[1:4]
server = sys.argv[4] if len(sys.argv) == 5 else "127.0.0.1:50051"
try:
    with wave.open(spoken_path) as spoken, grpc.insecure_channel(server) as channel:
        if spoken.getsampwidth() != 2:
            sys.exit(f"{spoken_path}: its samples have {8 * spoken.getsampwidth()} bits, not 16")
        with open(heard_path, "wb") as file, wave.open(file, "wb") as heard:
            heard.setparams(spoken.getparams())
            for chunk in services.CallCenterStub(channel).LiveCall(chunks(spoken, call)):
                watch(chunk)
                heard.writeframesraw(chunk.audio_data)
except (OSError, EOFError, wave.Error, grpc.RpcError) as error:
    words = error.details() if isinstance(error, grpc.RpcError) else error
    sys.exit(f"{spoken_path} to {heard_path}: {words}")
except KeyboardInterrupt:
    sys.exit(130)
