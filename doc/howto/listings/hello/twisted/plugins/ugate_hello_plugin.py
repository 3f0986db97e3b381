from ugate.modules.lazy import LazyModule

hello = LazyModule(
    "hello", "ugate_hello.module:HelloModule", "says hello to whoever asks", "ugate_hello:Hello"
)
